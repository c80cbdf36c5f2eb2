package verbs

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/register"
)

var ls = cli.Command{
	Name: "ls", Args: "[SERVICE]", Max: 1,
	Short: "list the services, or the instances of one",
	Long: `Without an argument it lists the services, with the number of their instances in each
state. With a service such as _math._tcp it lists its instances.

The states are up; unconfirmed: not renewed since dnsd was restarted, or since the instance
was restored; suspect: the lease is over, and the guard keeps the instance in DNS; drained:
it is left out of DNS.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			if len(c.Args) == 0 {
				return a.listServices(ctx, c)
			}
			return a.listInstances(ctx, c)
		}
	},
}

var get = cli.Command{
	Name: "get", Args: "SERVICE [ID]", Min: 1, Max: 2,
	Short: "show all that is known of an instance, or of all instances of a service",
	Long:  "An instance is written as two arguments or as one, SERVICE/ID.",
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			if len(c.Args) == 1 && !strings.Contains(c.Args[0], "/") {
				s, err := a.service(ctx, c.Args[0])
				switch {
				case err != nil:
					return err
				case a.json:
					return show.JSON(c.Out, s)
				}
				for i, p := range s.Instances {
					if i > 0 {
						fmt.Fprintln(c.Out)
					}
					if err := details(c.Out, s.Service, p); err != nil {
						return err
					}
				}
				return nil
			}
			return a.getInstance(ctx, c)
		}
	},
}

// states are the states in the order of columns.
var states = []register.InstanceState{register.InstanceUp, register.InstanceUnconfirmed, register.InstanceSuspect, register.InstanceDrained}

func (a *asking) listServices(ctx context.Context, c cli.Call) error {
	all, err := a.services(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return show.JSON(c.Out, all)
	}
	if len(all.Services) == 0 {
		fmt.Fprintln(c.Err, "no instance is registered")
		return nil
	}
	return serviceTable(all.Services).Write(c.Out)
}

// serviceTable counts the instances of services by state.
func serviceTable(services []register.Service) *show.Table {
	t := show.NewTable("SERVICE", "INSTANCES", "UP", "UNCONFIRMED", "SUSPECT", "DRAINED", "REVISION")
	for _, s := range services {
		n := map[register.InstanceState]int{}
		for _, p := range s.Instances {
			n[p.State]++
		}
		row := []any{s.Service, len(s.Instances)}
		for _, state := range states {
			row = append(row, n[state])
		}
		t.Row(append(row, s.Revision)...)
	}
	return t
}

// services reads all services.
func (a *asking) services(ctx context.Context) (all register.Services, err error) {
	client, err := a.client()
	if err != nil {
		return all, err
	}
	err = client.Do(ctx, http.MethodGet, "/v1/services", nil, &all)
	return all, err
}

// service reads one service.
func (a *asking) service(ctx context.Context, name string) (s register.Service, err error) {
	if name, err = serviceOf(name); err != nil {
		return s, err
	}
	client, err := a.client()
	if err != nil {
		return s, err
	}
	err = found(client.Do(ctx, http.MethodGet, hook.Path("v1", "services", name), nil, &s))
	return s, err
}

func (a *asking) listInstances(ctx context.Context, c cli.Call) error {
	s, err := a.service(ctx, c.Args[0])
	switch {
	case err != nil:
		return err
	case a.json:
		return show.JSON(c.Out, s)
	}
	t := show.NewTable("ID", "ADDRESS", "STATE", "PRIORITY", "WEIGHT", "TTL", "LEASE", "EXPIRES", "META")
	for _, p := range s.Instances {
		t.Row(p.ID, address(p), p.State, p.Priority, p.Weight, p.TTL, p.Lease, expires(p), pairs(p.Meta))
	}
	return t.Write(c.Out)
}

// pairs are meta data in the order of their keys: "version=1.2 zone=a".
func pairs(meta map[string]string) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		words = append(words, k+"="+meta[k])
	}
	return strings.Join(words, " ")
}

func (a *asking) getInstance(ctx context.Context, c cli.Call) error {
	client, service, id, err := a.instance(c.Args)
	if err != nil {
		return err
	}
	var p register.Published
	if err := found(client.Do(ctx, http.MethodGet, hook.Instance(service, id), nil, &p)); err != nil {
		return err
	}
	if a.json {
		return show.JSON(c.Out, p)
	}
	return details(c.Out, service, p)
}

// details are the fields of an instance, one a line.
func details(w io.Writer, service string, p register.Published) error {
	t := show.NewTable("instance", show.Clean(service+"/"+p.ID))
	t.Row("address", address(p))
	state := string(p.State)
	if len(p.DrainedBy) > 0 {
		state += " by " + strings.Join(p.DrainedBy, " and ")
	}
	if p.Sticky {
		state += ", also after it was gone (sticky)"
	}
	t.Row("state", state)
	t.Row("priority", p.Priority)
	t.Row("weight", p.Weight)
	t.Row("ttl", p.TTL)
	t.Row("lease", p.Lease)
	t.Row("expires in", expires(p))
	t.Row("incarnation", p.Incarnation)
	t.Row("revision", p.Revision)
	for _, k := range slices.Sorted(maps.Keys(p.Meta)) {
		t.Row("meta "+k, p.Meta[k])
	}
	return t.Write(w)
}

// Tests: script_test.go.
