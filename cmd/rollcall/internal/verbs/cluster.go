package verbs

import (
	"context"
	"flag"
	"fmt"
	"net/http"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/register"
)

var clusterCommand = cli.Command{
	Name: "cluster", Max: 0,
	Short: "list the dnsd that share the registry, and their store",
	Long: `One of them is the writer, which makes all changes. LAG is the number of changes that a
member does not have yet. A dnsd that shares with no other lists itself.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			var cl register.Cluster
			if err := client.Do(ctx, http.MethodGet, "/v1/cluster", nil, &cl); err != nil {
				return err
			}
			if a.json {
				return show.JSON(c.Out, cl)
			}
			return printCluster(c, cl)
		}
	},
}

// printCluster prints the members, and then the store.
func printCluster(c cli.Call, cl register.Cluster) error {
	if cl.Writer == "" {
		fmt.Fprintln(c.Err, "there is no writer now: registrations wait")
	}
	t := show.NewTable("NAME", "ROLE", "REVISION", "LAG", "HOOK", "ADDRESS", "VERSION", "ERROR")
	for _, m := range cl.Members {
		t.Row(m.Name, m.Role, m.Revision, m.Lag, m.Hook, m.Address, m.Version, m.Error)
	}
	if err := t.Write(c.Out); err != nil || cl.Etcd == nil {
		return err
	}
	e := cl.Etcd
	where := "etcd"
	if e.Inside {
		where = "etcd inside the dnsd"
	}
	of := ""
	if e.Quota > 0 {
		of = " of " + size(e.Quota)
	}
	fmt.Fprintf(c.Out, "\n%s, version %s, %s%s used\n", where, show.Clean(e.Version), size(e.Bytes), of)
	switch {
	case e.Error != "" && e.Away > 0:
		fmt.Fprintf(c.Out, "changes cannot be stored, for %v: %s\n", e.Away, show.Clean(e.Error))
	case e.Error != "":
		fmt.Fprintf(c.Out, "changes cannot be stored: %s\n", show.Clean(e.Error))
	}
	t = show.NewTable("NAME", "PEER", "LEADER", "ERROR")
	for _, m := range e.Members {
		leader := ""
		if m.Leader {
			leader = "yes"
		}
		t.Row(m.Name, m.Peer, leader, m.Error)
	}
	return t.Write(c.Out)
}

// size is a number of octets for people. 0 is not known.
func size(n int64) string {
	switch {
	case n <= 0:
		return "an unknown size"
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

var clusterAdd = cli.Command{
	Name: "cluster add", Args: "NAME PEER-URL", Min: 2, Max: 2,
	Short: "let another dnsd join in",
	Long: `It is the dnsd whose Corefile has this name and this peer line in store cluster. Start it
after this command, with an empty directory: docs/cluster.md. The token needs the right
admin for all services.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			peer := register.ClusterPeer{Name: c.Args[0], Peer: c.Args[1]}
			if err := client.Do(ctx, http.MethodPost, "/v1/cluster/members", peer, nil); err != nil {
				return err
			}
			return a.did(c, outcome{ID: peer.Name, Done: "added"}, show.Clean(peer.Name)+" may join in: start its dnsd now")
		}
	},
}

var clusterRemove = cli.Command{
	Name: "cluster remove", Args: "NAME", Min: 1, Max: 1,
	Short: "remove a dnsd from the cluster",
	Long: `Also one that is gone for good. One that was added and has not started has no name yet: it
is removed by the host and port of its peer, 10.0.0.4:2380. The token needs the right
admin for all services.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := found(client.Do(ctx, http.MethodDelete, hook.Path("v1", "cluster", "members", c.Args[0]), nil, nil)); err != nil {
				return err
			}
			return a.did(c, outcome{ID: c.Args[0], Done: "removed"}, show.Clean(c.Args[0])+" is removed: stop its dnsd, if it runs")
		}
	},
}

// Tests: cluster_test.go, script_test.go.
