package verbs

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/metrics"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/register"
)

var top = cli.Command{
	Name: "top", Max: 0,
	Short: "show services, states and rates, live",
	Long: `Services in trouble come first. The rates come from /metrics, so the token needs the right
read for all services. On a terminal the screen is written again and again until Ctrl-C;
elsewhere one table follows the other. With more than 20,000 instances the states of
single services are left out.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		interval := wait(2 * time.Second)
		flags.Var(&interval, "interval", "`DURATION` between two tables")
		frames := flags.Uint("frames", 0, "`NUMBER` of tables after which to end; 0: go on until Ctrl-C")
		return func(ctx context.Context, c cli.Call) error { return a.top(ctx, c, time.Duration(interval), *frames) }
	},
}

const (
	// maxListed is how many instances are read again and again: 20,000 have 5 MB.
	maxListed = 20_000
	// narrow is the width of a screen below which titles of columns are short.
	narrow = 72
)

// screen is the room for a frame; 0: as much as it takes.
type screen struct{ width, height int }

// frame is what top shows at one moment. A rate is nil if it is not known.
type frame struct {
	Time      time.Time          `json:"time"`
	Revision  uint64             `json:"revision"`
	Instances map[string]float64 `json:"instances"` // by state
	Rates     map[string]rate    `json:"rates"`     // a second
	Services  []count            `json:"services"`
	counters  map[string]float64
}

type rate *float64

// count is a service with its instances.
type count struct {
	Service   string         `json:"service"`
	Instances int            `json:"instances"`
	States    map[string]int `json:"states,omitempty"`
}

// counters are the metrics behind the rates.
var counters = []struct{ word, metric string }{
	{"queries", "rollcall_dns_answers_total"},
	{"registered", "rollcall_registry_registered_total"},
	{"renewed", "rollcall_registry_renewed_total"},
	{"deregistered", "rollcall_registry_deregistered_total"},
	{"expired", "rollcall_registry_expired_total"},
	{"requests", "rollcall_hook_requests_total"},
}

func (a *asking) top(ctx context.Context, c cli.Call, interval time.Duration, frames uint) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := a.client()
	if err != nil {
		return err
	}
	var last *frame
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := uint(1); ; n++ {
		f, err := a.look(ctx, client, time.Now())
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil && last == nil: // it never worked: a wrong URL, or a missing right
			return err
		case err != nil:
			fmt.Fprintln(c.Err, "rollcall top:", err)
		default:
			f.rate(last)
			if err := a.printFrame(c, client.Bases()[0], f); err != nil {
				return err
			}
			last = f
		}
		if n == frames {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look asks for the present state.
func (a *asking) look(ctx context.Context, client *hook.Client, now time.Time) (*frame, error) {
	text, err := client.Text(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	m, err := metrics.Parse(text)
	if err != nil {
		return nil, err
	}
	f := &frame{Time: now, Instances: m.By("rollcall_registry_instances", "state"), counters: map[string]float64{}}
	if len(f.Instances) == 0 {
		return nil, fmt.Errorf("hook %s: /metrics has no instances: %w", client.Bases()[0], hook.ErrFormat)
	}
	revision, _ := m.Sum("rollcall_registry_revision")
	f.Revision = uint64(revision)
	for _, c := range counters {
		f.counters[c.word], _ = m.Sum(c.metric)
	}
	all := 0.0
	for _, n := range f.Instances {
		all += n
	}
	if all > maxListed {
		for service, n := range m.By("rollcall_registry_service_instances", "service") {
			if service == "" {
				service = "(all others)"
			}
			f.Services = append(f.Services, count{Service: service, Instances: int(n)})
		}
	} else {
		var list register.Services
		if err := client.Do(ctx, http.MethodGet, "/v1/services", nil, &list); err != nil {
			return nil, err
		}
		f.Revision = list.Revision // the metric has lost digits
		for _, s := range list.Services {
			n := count{s.Service, len(s.Instances), map[string]int{}}
			for _, p := range s.Instances {
				n.States[string(p.State)]++
			}
			f.Services = append(f.Services, n)
		}
	}
	slices.SortFunc(f.Services, func(a, b count) int {
		return cmp.Or(cmp.Compare(b.trouble(), a.trouble()), cmp.Compare(b.Instances, a.Instances), cmp.Compare(a.Service, b.Service))
	})
	return f, nil
}

// trouble is how many instances are not simply up.
func (c count) trouble() int {
	if c.States == nil {
		return 0
	}
	return c.Instances - c.States[string(register.InstanceUp)]
}

// rate compares with the frame before. A counter that went back is that of a new process.
func (f *frame) rate(last *frame) {
	f.Rates = map[string]rate{}
	for _, c := range counters {
		f.Rates[c.word] = nil
		if last == nil {
			continue
		}
		if d, s := f.counters[c.word]-last.counters[c.word], f.Time.Sub(last.Time).Seconds(); d >= 0 && s > 0 {
			r := d / s
			f.Rates[c.word] = &r
		}
	}
}

func (a *asking) printFrame(c cli.Call, where string, f *frame) error {
	if a.json {
		if err := show.Line(c.Out, f); err != nil {
			return err
		}
		return c.Out.Flush()
	}
	var room screen
	if c.Terminal {
		fmt.Fprint(c.Out, "\x1b[H\x1b[2J") // to the top, and clear (ECMA-48)
		if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			room = screen{w, h}
		}
	}
	if err := f.write(c.Out, where, room); err != nil {
		return err
	}
	if !c.Terminal {
		fmt.Fprintln(c.Out)
	}
	return c.Out.Flush()
}

// write prints the frame, with as many services as there is room for: on a screen that
// scrolls, the first lines would be gone.
func (f *frame) write(w io.Writer, where string, room screen) error {
	head := lines([]string{f.Time.Format(time.TimeOnly), show.Clean(where), fmt.Sprintf("revision %d", f.Revision)}, "  ", room.width)
	words := []string{fmt.Sprintf("%d services", len(f.Services))}
	for i, s := range states {
		word := fmt.Sprintf("%.0f %s", f.Instances[string(s)], s)
		if i == 0 {
			word = "instances: " + word
		}
		words = append(words, word)
	}
	head = append(head, lines(words, ", ", room.width)...)
	words = nil
	for i, c := range counters {
		word := c.word + " -"
		if r := f.Rates[c.word]; r != nil {
			word = fmt.Sprintf("%s %.1f", c.word, *r)
		}
		if i == 0 {
			word = "a second: " + word
		}
		words = append(words, word)
	}
	head = append(append(head, lines(words, ", ", room.width)...), "")
	rows := len(f.Services)
	if room.height > 0 {
		// Below are the titles, what says how many more there are, and the cursor.
		rows = max(1, min(rows, room.height-len(head)-3))
	}
	if _, err := fmt.Fprintln(w, strings.Join(head, "\n")); err != nil {
		return err
	}
	if err := f.table(rows, room.width).Write(w); err != nil {
		return err
	}
	if more := len(f.Services) - rows; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	return nil
}

// table has the first services.
func (f *frame) table(rows, width int) *show.Table {
	// Numbers up to 99,999 fit, on a narrow screen up to 9,999, and the rest is for the name.
	t, name := show.NewTable("SERVICE", "INSTANCES", "UP", "UNCONFIRMED", "SUSPECT", "DRAINED"), width-(9+5+11+7+7+5*2)
	if width < narrow && width > 0 {
		t, name = show.NewTable("SERVICE", "ALL", "UP", "UNC", "SUS", "DRA"), max(8, width-5*(4+2))
	}
	for _, s := range f.Services[:rows] {
		service := s.Service
		if name > 0 && len(service) > name {
			service = service[:name-2] + ".."
		}
		row := []any{service, s.Instances}
		for _, state := range states {
			if s.States == nil {
				row = append(row, "")
			} else {
				row = append(row, s.States[string(state)])
			}
		}
		t.Row(row...)
	}
	return t
}

// lines puts words on lines of a width, with a separator between them. A word that is
// longer is cut.
func lines(words []string, between string, width int) (all []string) {
	line := ""
	for _, word := range words {
		switch {
		case line == "":
			line = word
		case width > 0 && len(line)+len(between)+len(word) > width:
			all = append(all, cut(strings.TrimRight(line+between, " "), width))
			line = word
		default:
			line += between + word
		}
	}
	return append(all, cut(line, width))
}

// cut is text on a line of a width.
func cut(text string, width int) string {
	if r := []rune(text); width > 0 && len(r) > width {
		return string(r[:width])
	}
	return text
}

// Tests: top_test.go, script_test.go.
