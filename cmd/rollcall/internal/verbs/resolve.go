package verbs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
	"github.com/rollcall-dns/rollcall/resolver"
)

var resolve = cli.Command{
	Name: "resolve", Args: "NAME", Min: 1, Max: 1,
	Short: "ask each DNS server for a service, and compare the answers",
	Long: `NAME is absolute, as a client gives it: _math._tcp.svc. All servers are asked at once, over
UDP, and over TCP if the answer is truncated.

The exit status is 0 if all servers answer the same, 1 if one does not answer, fails or
has other instances, and 3 if no server knows the name. A lower serial alone is no
difference: a cache may be behind for a TTL.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		var servers string
		var asJSON bool
		var timeout time.Duration
		serverFlag(flags, &servers)
		jsonFlag(flags, &asJSON)
		timeoutFlag(flags, &timeout, "how long to wait for the answers")
		return func(ctx context.Context, c cli.Call) error {
			list, from, err := view.Servers(servers)
			if err == nil {
				err = resolver.CheckService(c.Args[0])
			}
			if err != nil {
				return cli.Exit(cli.Usage, err)
			}
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			cmp := view.Compare(view.Ask(ctx, list, dns.Fqdn(c.Args[0])))
			if asJSON {
				err = show.JSON(c.Out, cmp)
			} else {
				err = printView(c, cmp)
			}
			if err != nil {
				return err
			}
			return verdict(cmp, c.Args[0], from)
		}
	},
}

// verdict is nil if all servers, which from names, say the same of name.
func verdict(cmp view.Comparison, name, from string) error {
	switch {
	case cmp.NotFound():
		return cli.Exit(cli.NotFound, fmt.Errorf("no server knows %s: is it registered, and is the zone right?%s", name, view.Elsewhere(" ", from)))
	case len(cmp.Differences) > 0:
		return errors.New(show.Clean(strings.Join(cmp.Differences, "; ")) + view.Elsewhere("; ", from))
	}
	return nil
}

// serverFlag declares the servers to ask.
func serverFlag(flags *flag.FlagSet, v *string) {
	flags.StringVar(v, "server", "", "`ADDRESSES` of DNS servers, separated by commas; else those of "+view.VarDNS+", else those of the system")
}

// printView prints what each server says, and then the instances.
func printView(c cli.Call, cmp view.Comparison) error {
	t := show.NewTable("SERVER", "ANSWER", "TTL", "INSTANCES", "SERIAL", "AUTHORITATIVE", "OVER", "TIME")
	for _, a := range cmp.Answers {
		if a.Error != "" {
			t.Row(a.Server, "none", "", "", "", "", "", "")
			continue
		}
		serial, authoritative := "", "no"
		if a.Serial != nil {
			serial = fmt.Sprint(*a.Serial)
		}
		if a.Authoritative {
			authoritative = "yes"
		}
		t.Row(a.Server, a.Rcode, a.TTL, len(a.Instances), serial, authoritative, a.Transport, time.Duration(a.Millis*float64(time.Millisecond)))
	}
	if err := t.Write(c.Out); err != nil {
		return err
	}
	if len(cmp.Instances) > 0 {
		fmt.Fprintln(c.Out)
		t = show.NewTable("TARGET", "PRIORITY", "WEIGHT", "ADDRESS", "MISSING AT")
		for _, s := range cmp.Instances {
			t.Row(s.Target, s.Priority, s.Weight, s.Addresses(), strings.Join(s.Missing, " "))
		}
		if err := t.Write(c.Out); err != nil {
			return err
		}
	}
	for _, n := range cmp.Notes {
		fmt.Fprintln(c.Out, show.Clean(n))
	}
	return nil
}

// Tests: resolve_test.go, script_test.go.
