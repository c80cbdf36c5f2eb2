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
	// otherRows are the rows of a screen that are no services.
	otherRows = 7
)

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
	rows := len(f.Services)
	if c.Terminal {
		fmt.Fprint(c.Out, "\x1b[H\x1b[2J") // to the top, and clear (ECMA-48)
		if _, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			rows = max(1, h-otherRows)
		}
	}
	if err := f.write(c.Out, where, rows); err != nil {
		return err
	}
	if !c.Terminal {
		fmt.Fprintln(c.Out)
	}
	return c.Out.Flush()
}

// write prints the frame, with as many services as there is room for.
func (f *frame) write(w io.Writer, where string, rows int) error {
	fmt.Fprintf(w, "%s  %s  revision %d\n", f.Time.Format(time.TimeOnly), where, f.Revision)
	var words []string
	for _, s := range states {
		words = append(words, fmt.Sprintf("%.0f %s", f.Instances[string(s)], s))
	}
	fmt.Fprintf(w, "%d services, instances: %s\n", len(f.Services), strings.Join(words, ", "))
	words = nil
	for _, c := range counters {
		value := "-"
		if r := f.Rates[c.word]; r != nil {
			value = fmt.Sprintf("%.1f", *r)
		}
		words = append(words, c.word+" "+value)
	}
	fmt.Fprintf(w, "a second: %s\n\n", strings.Join(words, ", "))
	t := show.NewTable("SERVICE", "INSTANCES", "UP", "UNCONFIRMED", "SUSPECT", "DRAINED")
	for _, s := range f.Services[:min(rows, len(f.Services))] {
		row := []any{s.Service, s.Instances}
		for _, state := range states {
			if s.States == nil {
				row = append(row, "")
			} else {
				row = append(row, s.States[string(state)])
			}
		}
		t.Row(row...)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if more := len(f.Services) - rows; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	return nil
}

// Tests: top_test.go, script_test.go.
