//go:build linux

// Command cluster measures three dnsd that share a registry (store cluster): processes of
// the full dnsd, on this machine, with the disk's syncs.
//
//	go run . [-only registrations,below,failover,million,dns] [-dir DIR] [-h for the others]
//
// # Durable registrations
//
// How many instances 64 clients register a second, beside what the same three servers of
// etcd take from 64 clients that do the usual: a lease for each instance, and a put under
// it. The rows alternate on the same servers.
//
//	etcd      LeaseGrant and Put, two requests over gRPC, by etcd's own client over
//	          8 connections, spread over the three servers' sockets
//	http      one PUT to a hook, by net/http over 64 connections: at the dnsd that is the
//	          writer, at one that passes it on, or spread over all three
//	below     the same below HTTP, and etcd's two operations likewise: BenchmarkRegister of
//	          dnsd/cluster, three members in one process
//
// # Failover
//
// How long it takes from the end of the writer until a server that starts then has
// registered. It is register.Keep with the three hooks, the dead one first. The writer is
// killed (SIGKILL); or it is stopped cleanly (SIGTERM), while servers start one after the
// other, of which the slowest counts; or it is made to hang (SIGSTOP): then the hang of its
// hook would be measured too, so the list has only the others.
//
// # A million instances
//
// How long a follower takes to start, and what it and etcd's data need, and how many
// leases are renewed a second through a follower. Renewals must not change etcd's data:
// its revision is read before and after.
//
// # DNS during changes
//
// How many queries a second a follower answers while 1,000 instances change a second,
// beside a dnsd that is alone (store memory and store bolt) with as many changes. The dnsd
// that is asked has one core. All others, the generator of queries and that of changes
// share the other core, and all of them get their changes all the time, so that each round
// leaves the generator the same.
//
// Then each is asked one question a millisecond, and its answers are timed.
//
// The generator fills its core before the dnsd fills its own. So the answers of a whole core
// are counted from the time of the processor that the dnsd used: for the changes alone while
// nothing is asked, and for each answer beyond that.
//
// Linux only, on at least two cores. Quote ratios: the absolute numbers are this
// machine's.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
)

var (
	only      = flag.String("only", "registrations,below,failover,million,dns", "what is measured")
	dir       = flag.String("dir", "", "where the stores are; default the temporary directory")
	clients   = flag.Int("clients", 64, "that register or renew at once")
	rounds    = flag.Int("rounds", 3, "of registrations and of DNS; the median counts")
	span      = flag.Duration("time", 3*time.Second, "of a round")
	kills     = flag.Int("kills", 20, "how often the writer is killed, and how often stopped")
	calm      = flag.Duration("calm", 3*time.Second, "between a cluster that was mended and the next failure, in which its members get to know each other")
	hangs     = flag.Int("hangs", 5, "how often the writer hangs")
	instances = flag.Int("instances", 1_000_000, "of the million")
	changes   = flag.Int("changes", 1000, "a second, while DNS is asked")
	dnsd      = flag.String("dnsd", "", "the full dnsd's program; default: built from dnsd/cluster/cmd/dnsd")
	verbose   = flag.Bool("v", false, "progress and the logs of the processes on standard error")
)

// sections in their order.
var sections = []struct {
	name    string
	measure func(context.Context, programs) error
}{
	{"registrations", registrations},
	{"below", below},
	{"failover", failover},
	{"million", million},
	{"dns", answers},
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/cluster:", err)
		os.Exit(1)
	}
}

// programs are what is run, and where.
type programs struct {
	dnsd string // the full one
	root string // of the source tree
	work string // a directory that is removed at the end
}

func run(ctx context.Context) error {
	// A socket's path is at most some hundred octets, so the name is short.
	work, err := os.MkdirTemp(*dir, "rc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	p := programs{dnsd: *dnsd, work: work}
	if p.root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if p.dnsd == "" {
		p.dnsd = filepath.Join(work, "dnsd")
		if err := measure.GoTool(ctx, filepath.Join(p.root, "dnsd/cluster"), "build", "-o", p.dnsd, "./cmd/dnsd"); err != nil {
			return err
		}
	}
	wanted := strings.Split(*only, ",")
	for _, s := range sections {
		if !slices.Contains(wanted, s.name) {
			continue
		}
		begin := time.Now()
		if err := s.measure(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		progress("%s took %v", s.name, time.Since(begin).Round(time.Second))
		fmt.Println()
	}
	return nil
}

func progress(format string, args ...any) {
	if *verbose {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}
