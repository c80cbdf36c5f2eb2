package verbs

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"strconv"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/register"
)

var drain = cli.Command{
	Name: "drain", Args: "SERVICE ID", Min: 1, Max: 2,
	Short: "take an instance out of DNS while it keeps its lease",
	Long: `Clients send it no new calls once their records have expired. It stays registered, and
undrain puts it back. The token needs the right admin.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		sticky := flags.Bool("sticky", false, "drain it again when it is gone and comes back")
		return func(ctx context.Context, c cli.Call) error {
			query := ""
			if *sticky {
				query = "?sticky=1"
			}
			return a.hold(ctx, c, http.MethodPut, query, "is drained: it is not in DNS")
		}
	},
}

var undrain = cli.Command{
	Name: "undrain", Args: "SERVICE ID", Min: 1, Max: 2,
	Short: "put a drained instance back into DNS",
	Long: `For an instance that is not there it ends a sticky drain. The token needs the right
admin.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			return a.hold(ctx, c, http.MethodDelete, "", "is not drained any more")
		}
	},
}

// hold drains an instance, or ends that.
func (a *asking) hold(ctx context.Context, c cli.Call, method, query, done string) error {
	client, service, id, err := a.instance(c.Args)
	if err != nil {
		return err
	}
	var p register.Published
	if err := found(client.Do(ctx, method, hook.Instance(service, id)+"/drain"+query, nil, &p)); err != nil {
		return err
	}
	switch {
	case a.json && p.ID != "":
		return show.JSON(c.Out, p)
	case a.json: // 204: the instance is not there, and its sticky drain has ended
		return show.JSON(c.Out, outcome{Service: service, ID: id, Done: done})
	}
	if method == http.MethodDelete && p.State == register.InstanceDrained {
		done = "is not drained by an operator any more, but by itself: it is not in DNS"
	}
	fmt.Fprintf(c.Out, "%s/%s %s\n", service, id, done)
	return nil
}

// outcome is what a command did, where the hook answers without a body.
type outcome struct {
	Service string `json:"service,omitempty"`
	ID      string `json:"id,omitempty"`
	Done    string `json:"done"`
}

var rm = cli.Command{
	Name: "rm", Args: "SERVICE ID", Min: 1, Max: 2,
	Short: "deregister an instance",
	Long: `It is out of DNS at once. A process that is alive registers again at its next renewal:
drain keeps it out of DNS. The token needs the right write.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		incarnation := flags.Uint64("incarnation", 0, "`NUMBER`: only if no newer incarnation is registered")
		return func(ctx context.Context, c cli.Call) error {
			client, service, id, err := a.instance(c.Args)
			if err != nil {
				return err
			}
			path := hook.Instance(service, id)
			if *incarnation != 0 {
				path += "?incarnation=" + strconv.FormatUint(*incarnation, 10)
			}
			if err := found(client.Do(ctx, http.MethodDelete, path, nil, nil)); err != nil {
				return err
			}
			return a.did(c, outcome{service, id, "deregistered"}, service+"/"+id+" is deregistered")
		}
	},
}

// did prints what was done.
func (a *asking) did(c cli.Call, o outcome, line string) error {
	if a.json {
		return show.JSON(c.Out, o)
	}
	fmt.Fprintln(c.Out, line)
	return nil
}

var guard = cli.Command{
	Name: "guard", Args: "[SERVICE]", Max: 1,
	Short: "list the suspects: instances that only the guard keeps in DNS",
	Long: `When many instances of a service are silent at once, the network is more likely broken
than all of them dead. The guard then keeps them in DNS as suspects. See
docs/corefile.md#guard.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error { return a.suspects(ctx, c) }
	},
}

// suspect is an instance with its service.
type suspect struct {
	Service  string             `json:"service"`
	Instance register.Published `json:"instance"`
}

func (a *asking) suspects(ctx context.Context, c cli.Call) error {
	var services []register.Service
	if len(c.Args) == 1 {
		s, err := a.service(ctx, c.Args[0])
		if err != nil {
			return err
		}
		services = []register.Service{s}
	} else {
		all, err := a.services(ctx)
		if err != nil {
			return err
		}
		services = all.Services
	}
	list := []suspect{}
	t := show.NewTable("SERVICE", "ID", "ADDRESS", "LEASE")
	for _, s := range services {
		for _, p := range s.Instances {
			if p.State == register.InstanceSuspect {
				list = append(list, suspect{s.Service, p})
				t.Row(s.Service, p.ID, address(p), p.Lease)
			}
		}
	}
	switch {
	case a.json:
		return show.JSON(c.Out, list)
	case len(list) == 0:
		fmt.Fprintln(c.Err, "there are no suspects")
		return nil
	}
	return t.Write(c.Out)
}

var guardRelease = cli.Command{
	Name: "guard release", Args: "[SERVICE]", Max: 1,
	Short: "remove the suspects of a service, or with -all of all services",
	Long:  "Do it when you know that they are dead. The token needs the right admin.",
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		all := flags.Bool("all", false, "of all services")
		return func(ctx context.Context, c cli.Call) error {
			if (len(c.Args) == 1) == *all {
				return cli.Wrong("write a SERVICE, or -all for the suspects of all services")
			}
			path, o, line := "/v1/guard", outcome{Done: "released"}, "the suspects of all services are removed"
			if !*all {
				service, err := serviceOf(c.Args[0])
				if err != nil {
					return err
				}
				path, o.Service, line = hook.Path("v1", "services", service, "guard"), service, "the suspects of "+service+" are removed"
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := found(client.Do(ctx, http.MethodDelete, path, nil, nil)); err != nil {
				return err
			}
			return a.did(c, o, line)
		}
	},
}

// Tests: script_test.go.
