//go:build linux

// Command push measures how long a change takes until it reaches clients that follow a
// service live, and what they cost dnsd. dnsd is a process of its own, with a bolt store; all
// clients are in this process, on the same machine.
//
//	go run . [-only changes,crowd,return] [-dir DIR] [-h for the others]
//
// # Changes
//
// A client of package rpcclient calls in a closed loop, one call after the other. Meanwhile a
// request over HTTP registers an instance, gives it another weight, drains it or deregisters
// it. A row has the times from just before that request to the end of the first call to the
// new instance, and to the end of the last call that ignores the other changes.
//
// Beside it the same client with the same policy gets its endpoints from an etcd v3 watch. An
// instance is a key under a lease that was granted before; drain and weight are in its value.
// Each change is a put or a delete by etcd's own client. etcd is a process with its defaults:
// both stores sync to the disk before they answer. The two take turns of ten changes of each
// kind, and only the client of the one whose turn it is calls.
//
// Two things would be in the times that are of this benchmark, and not of what it measures:
//
//   - The loop of calls is always ready to run. On processors that it shares with the servers,
//     a thread of dnsd or of etcd that is ready waits for it, for up to 8 ms where the clock of
//     the system has 250 ticks a second (perf sched latency). Then the p99 of both is that wait,
//     also without a disk. So half of the processors are for dnsd and etcd, of which one works
//     at a time, and the others for this process. With -together all share all.
//   - etcd puts the changes of 100 ms into its database, with two more syncs. With turns of one
//     change, half of these fell into the times of dnsd: its medians were 0.9 to 1.0 ms, and
//     0.6 ms without an etcd. So a turn begins with a pause that is longer than that. In its own
//     turn etcd pays for them, as it does for its users.
//
// With -parts, the times of the usual and of the slowest changes are divided into their parts.
// A slow sync of the disk is in them with its whole length: users have it, too.
//
// Without etcd (apt-get install etcd-server) only Rollcall is measured; with ROLLCALL_PEERS=1
// that is a failure.
//
// # Crowd
//
// Many sessions follow one service, each from an address of loopback of its own. A change is
// over when the last of them has it. Half as many changes come while no session reads, and are
// over when the kernel has the last one's, by its clock: the sessions take no time of the
// processor then. The processor's time is that of dnsd alone, and its
// memory is what is resident more than before. All of it is done over TCP, and over TLS.
// Changes to a service that none of them follows are made before they come, while they are
// there, and when they have gone.
//
// # Return
//
// Many Resolvers, each with a Watch and an address of its own, follow one service. dnsd is
// killed, and comes back after a time on the same store. What they send is counted each tenth
// of a second, where they send it: queries, and connections. At the end an instance is
// registered, and all of them have to hear of it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	only      = flag.String("only", "changes,crowd,return", "what is measured")
	dir       = flag.String("dir", "", "where the stores are; default the temporary directory")
	together  = flag.Bool("together", false, "of changes: the servers and the client share all processors")
	showParts = flag.Bool("parts", false, "of changes: print how long each part takes; asks both servers for their metrics after each change")
	cycles    = flag.Int("cycles", 1000, "changes of each kind")
	clients   = flag.Int("clients", 10_000, "of crowd and return")
	changes   = flag.Int("changes", 100, "that reach the crowd")
	others    = flag.Int("others", 2000, "changes to another service than that of the crowd")
	over      = flag.String("over", "tcp,tls", "what the sessions of the crowd go over")
	dnsd      = flag.String("dnsd", "", "the program; default: built from dnsd/cmd/dnsd")
	downs     = flag.String("down", "1s,20s", "how long dnsd is away before it returns")
)

// sections in their order.
var sections = []struct {
	name    string
	measure func(context.Context, programs) error
}{
	{"changes", compareChanges},
	{"crowd", crowds},
	{"return", returns},
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/push:", err)
		os.Exit(1)
	}
}

// programs are what is run, and where.
type programs struct {
	dnsd string
	work string       // a directory that is removed at the end
	cpus *unix.CPUSet // on which they run; nil: all
}

func run(ctx context.Context) error {
	// Each session is a file, here and in dnsd. What else is open is less than a thousand.
	const rest = 1000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	if need := uint64(*clients + rest); files.Cur < need {
		return fmt.Errorf("%d files may be open, and -clients %d needs %d: set ulimit -n, or have fewer clients", files.Cur, *clients, need)
	}
	work, err := os.MkdirTemp(*dir, "rollcall-push-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	p := programs{dnsd: *dnsd, work: work}
	if p.dnsd == "" {
		p.dnsd = filepath.Join(work, "dnsd")
		build := exec.CommandContext(ctx, "go", "build", "-o", p.dnsd, "./dnsd/cmd/dnsd")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	wanted := strings.Split(*only, ",")
	for _, s := range sections {
		if !slices.Contains(wanted, s.name) {
			continue
		}
		if err := s.measure(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println()
	}
	return nil
}

// quantile is the value that a part q of all values do not exceed.
func quantile(v []time.Duration, q float64) time.Duration {
	v = slices.Sorted(slices.Values(v))
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

// ms is a time for a table.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
