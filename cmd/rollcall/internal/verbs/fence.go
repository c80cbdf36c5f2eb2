package verbs

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/internal/srvname"
	"github.com/rollcall-dns/rollcall/register"
)

var fence = cli.Command{
	Name: "fence", Args: "[SERVICE]", Max: 1,
	Short: "list what dnsd remembers of ids that are not registered",
	Long: `An older process than the last one of its id is refused: INCARNATION is the lowest that may
register. A sticky drain waits for the next process of the id: undrain ends it.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			path := "/v1/fences"
			if len(c.Args) == 1 {
				service, err := serviceOf(c.Args[0])
				if err != nil {
					return err
				}
				path += "?service=" + url.QueryEscape(service)
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			var all register.Fences
			if err := client.Do(ctx, http.MethodGet, path, nil, &all); err != nil {
				return err
			}
			switch {
			case a.json:
				return show.JSON(c.Out, all)
			case len(all.Fences) == 0:
				fmt.Fprintln(c.Err, "nothing is remembered of ids that are not registered")
				return nil
			}
			t := show.NewTable("SERVICE", "ID", "INCARNATION", "DRAIN", "SINCE")
			for _, f := range all.Fences {
				drain := ""
				if f.Drained {
					drain = "sticky"
				}
				t.Row(f.Service, f.ID, f.Incarnation, drain, f.Time.Format(time.RFC3339))
			}
			return t.Write(c.Out)
		}
	},
}

var fenceRelease = cli.Command{
	Name: "fence release", Args: "SERVICE ID", Min: 1, Max: 2,
	Short: "forget the last incarnation of an id, so that any process may register it",
	Long: `Do it when a clock was ahead, and new processes are refused with 409. The token needs the
right admin.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			client, service, id, err := a.instance(c.Args)
			if err != nil {
				return err
			}
			if err := found(client.Do(ctx, http.MethodDelete, hook.Instance(service, id)+"/fence", nil, nil)); err != nil {
				return err
			}
			return a.did(c, outcome{service, id, "released"}, service+"/"+id+" may be registered by any process")
		}
	},
}

var names = cli.Command{
	Name: "names", Args: "[SERVICE]", Max: 1,
	Short: "print the names of services, or the ids of a service, for completion",
	Long:  "A line each.",
	Make: func(flags *flag.FlagSet) cli.Run {
		a := &asking{}
		hookFlags(flags, &a.Config)
		return func(ctx context.Context, c cli.Call) error {
			if len(c.Args) == 1 {
				s, err := a.service(ctx, c.Args[0])
				for _, p := range s.Instances {
					if srvname.LabelProblem(p.ID) == "" { // a shell reads it
						fmt.Fprintln(c.Out, p.ID)
					}
				}
				return err
			}
			all, err := a.services(ctx)
			for _, s := range all.Services {
				if srvname.CheckService(s.Service) == nil {
					fmt.Fprintln(c.Out, s.Service)
				}
			}
			return err
		}
	},
}

// Tests: script_test.go.
