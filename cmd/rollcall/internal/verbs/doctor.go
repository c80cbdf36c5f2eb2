package verbs

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
)

var doctor = cli.Command{
	Name: "doctor", Max: 0,
	Short: "look for what is wrong with dnsd, DNS, clocks and certificates",
	Long: `It asks every hook, dnsd's DNS, and the DNS servers that programs on this machine ask. Each
line says what was found; after BAD it says what to do. A note is no fault in itself.
The exit status is 1 if there is a BAD line.

With a token that may read all services it finds more: metrics, cluster, services.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		var servers string
		serverFlag(flags, &servers)
		return func(ctx context.Context, c cli.Call) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			e := &examination{asking: a, client: client, servers: servers}
			e.all(ctx)
			if a.json {
				err = show.JSON(c.Out, e.findings)
			} else {
				for _, f := range e.findings {
					if _, err = fmt.Fprintln(c.Out, f); err != nil {
						break
					}
				}
			}
			if err != nil {
				return err
			}
			if slices.ContainsFunc(e.findings, func(f finding) bool { return f.Level == bad }) {
				return cli.Exit(cli.Failed, nil)
			}
			return nil
		}
	},
}

// The levels of a finding.
const (
	good = "ok"
	note = "note"
	bad  = "BAD"
)

// finding is one line of the report.
type finding struct {
	Level string `json:"level"`
	What  string `json:"what"`
	Cure  string `json:"cure,omitempty"`
}

func (f finding) String() string {
	s := fmt.Sprintf("%-4s  %s", f.Level, show.Clean(f.What))
	if f.Cure != "" {
		s += "\n      " + show.Clean(f.Cure)
	}
	return s
}

// examination collects findings.
type examination struct {
	*asking
	client   *hook.Client
	servers  string // -server
	findings []finding
	zones    []string          // that dnsd publishes, from its metrics
	serials  map[string]uint32 // by zone
}

func (e *examination) good(format string, args ...any) {
	e.findings = append(e.findings, finding{good, fmt.Sprintf(format, args...), ""})
}

func (e *examination) note(cure, format string, args ...any) {
	e.findings = append(e.findings, finding{note, fmt.Sprintf(format, args...), cure})
}

func (e *examination) bad(cure, format string, args ...any) {
	e.findings = append(e.findings, finding{bad, fmt.Sprintf(format, args...), cure})
}

// all makes every examination. One that needs what an earlier one did not find is left out.
func (e *examination) all(ctx context.Context) {
	alive := false
	for _, base := range e.client.Bases() {
		alive = e.hook(ctx, base) || alive
	}
	if alive {
		e.metrics(ctx)
		e.cluster(ctx)
		e.registered(ctx)
	}
	e.dns(ctx)
}

// Tests: doctor_test.go, script_test.go.
