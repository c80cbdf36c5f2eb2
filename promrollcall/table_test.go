package promrollcall

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func keyed(key string, count, now float64) row {
	return row{key: key, counts: []float64{count}, now: []float64{now}}
}

// shown is the rows as "key: count now".
func shown(rows []row) (out []string) {
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s: %v %v", r.key, r.counts, r.now))
	}
	return out
}

func TestFewKeysAreAllShown(t *testing.T) {
	tab := table{most: 2}
	for range 2 {
		if got, want := shown(tab.look([]row{keyed("a", 1, 2), keyed("b\xff", 3, 4), keyed("b\xfe", 1, 1)})), []string{"a: [1] [2]", "b\uFFFD: [4] [5]"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := tab.look(nil); len(got) != 0 {
		t.Errorf("without rows: %v", got)
	}
	if got, want := shown(tab.look([]row{keyed("", 1, 2)})), []string{": [1] [2]"}; !slices.Equal(got, want) {
		t.Errorf("the empty key: %q", got)
	}
}

func TestTheRestIsAddedUp(t *testing.T) {
	const most = 4
	tab := table{most: most}
	var rows []row
	for i := range most + 3 {
		rows = append(rows, keyed(fmt.Sprint("n", i), 10, 1))
	}
	last := func(rows []row) string { s := shown(rows); return s[len(s)-1] }
	if got := tab.look(rows); len(got) != most+1 || last(got) != ": [30] [3]" {
		t.Errorf("%d series, the last is %s", len(got), last(got))
	}
	rows[most] = keyed("n4", 15, 1) // has counted 5 more
	rows[most+1] = keyed("n5", 4, 1)
	rows = rows[:most+2]
	if got := tab.look(rows); last(got) != ": [39] [2]" {
		t.Errorf("one has grown, one began again, one has gone: %s", last(got))
	}
	rows = rows[2:] // two with series go, and the others take their places
	if got := tab.look(rows); len(got) != most+1 || last(got) != ": [39] [0]" {
		t.Errorf("%d series, the last is %s", len(got), last(got))
	}
}

// Whatever comes and goes, there are few series, gauges add up to those of all keys, the
// shared counter never falls, and a key keeps its series.
func TestCountersOfTheRestNeverFall(t *testing.T) {
	const most = 3
	rapid.Check(t, func(t *rapid.T) {
		tab := table{most: most}
		counts := map[string]float64{}
		rest, own := 0.0, map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "looks") {
			for i := range 3 * most {
				key := fmt.Sprint(i)
				switch rapid.IntRange(0, 3).Draw(t, "what") {
				case 0:
					delete(counts, key)
				case 1:
					counts[key] += 5
				}
			}
			var rows []row
			for _, key := range slices.Sorted(maps.Keys(counts)) {
				rows = append(rows, keyed(key, counts[key], 1))
			}
			was := own
			own = map[string]bool{}
			now := 0.0
			for _, r := range tab.look(rows) {
				now += r.now[0]
				if r.key == "" {
					if r.counts[0] < rest {
						t.Fatalf("the rest fell from %v to %v", rest, r.counts[0])
					}
					rest = r.counts[0]
				} else if own[r.key] = true; r.counts[0] != counts[r.key] {
					t.Fatalf("%s has counted %v, and %v is shown", r.key, counts[r.key], r.counts[0])
				}
			}
			if len(own) > most || now != float64(len(counts)) {
				t.Fatalf("%d series for %v of %d keys", len(own), now, len(counts))
			}
			for key := range was {
				if _, there := counts[key]; there && !own[key] {
					t.Fatalf("%s has lost its series", key)
				}
			}
		}
	})
}
