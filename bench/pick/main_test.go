package pick

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/zeromicro/go-zero/core/logx"
)

func TestMain(m *testing.M) {
	logx.Disable() // go-zero's p2c logs all its nodes once a minute
	code := m.Run()
	results.print()
	os.Exit(code)
}

// results are the best times so far: other programs on the machine only make runs longer.
var results table

type table struct {
	mu   sync.Mutex // guards below
	rows []string   // kind and nodes, in order of first appearance
	best map[string]map[string]float64
}

func (t *table) add(row, by string, ns float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.best[row] == nil {
		if t.best == nil {
			t.best = map[string]map[string]float64{}
		}
		t.best[row] = map[string]float64{}
		t.rows = append(t.rows, row)
	}
	if old, ok := t.best[row][by]; !ok || ns < old {
		t.best[row][by] = ns
	}
}

// print shows the best times, and how many times ours the others take.
func (t *table) print() {
	if len(t.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\nns, best run\tchoice\tpick+release\tothers, and how many times our pick+release that is")
	for _, row := range t.rows {
		best := t.best[row]
		fmt.Fprintf(w, "%s\t%.1f\t%.1f", row, best["choice"], best["rollcall"])
		var others []string
		for by := range best {
			if by != "choice" && by != "rollcall" {
				others = append(others, by)
			}
		}
		slices.Sort(others)
		for _, by := range others {
			fmt.Fprintf(w, "\t%s %.1f (%.1fx)", by, best[by], best[by]/best["rollcall"])
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}
