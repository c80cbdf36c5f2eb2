// Command etcd measures durable registrations a second, etcd's and Rollcall's,
// side by side on the same disk with the same number of clients at once.
//
// A registration makes an instance known until its lease ends, and survives a
// crash:
//
//	etcd      LeaseGrant and Put, two requests over gRPC, by etcd's own client
//	dnsd      one PUT to the hook of a dnsd with "store bolt", over HTTP
//	registry  the same below HTTP: dnsd's registry on its store, in one process
//
// etcd and dnsd run as processes of their own with their default durability
// (synced before the answer). The rounds alternate, and each row is the median
// of its rounds, because the speed of a disk varies.
//
//	go run . [-clients 64] [-rounds 3] [-time 3s] [-dir DIR]
//
// Without etcd (apt-get install etcd-server) it says so and ends; with
// ROLLCALL_PEERS=1 that is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
)

var (
	clients = flag.Int("clients", 64, "clients at once")
	rounds  = flag.Int("rounds", 3, "rounds; the median counts")
	span    = flag.Duration("time", 3*time.Second, "of a round")
	dir     = flag.String("dir", "", "where the stores are; default the temporary directory")
)

// starting is how long etcd and dnsd may take until they answer, on a slow disk.
const starting = 20 * time.Second

func main() {
	flag.Parse()
	if _, err := exec.LookPath("etcd"); err != nil {
		fmt.Fprintln(os.Stderr, "etcd is not installed (apt-get install etcd-server): nothing to measure against")
		if os.Getenv("ROLLCALL_PEERS") == "1" {
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/etcd:", err)
		os.Exit(1)
	}
}

// peer is one row.
type peer struct {
	name    string
	measure func(ctx context.Context, dir string) (rate float64, err error) // registrations a second, on a fresh store
	rates   []float64
}

func run(ctx context.Context) error {
	work, err := os.MkdirTemp(*dir, "rollcall-etcd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	dnsd := filepath.Join(work, "dnsd")
	if err := measure.GoTool(ctx, root, "build", "-o", dnsd, "./dnsd/cmd/dnsd"); err != nil {
		return err
	}
	bench := filepath.Join(work, "boltstore.test")
	if err := measure.GoTool(ctx, root, "test", "-c", "-o", bench, "./dnsd/internal/registry/boltstore"); err != nil {
		return err
	}

	peers := []*peer{
		{name: "etcd", measure: measureEtcd},
		{name: "dnsd", measure: func(ctx context.Context, dir string) (float64, error) { return measureDnsd(ctx, dnsd, dir) }},
		{name: "registry", measure: func(ctx context.Context, dir string) (float64, error) { return measureRegistry(ctx, bench, dir) }},
	}
	for round := range *rounds {
		for _, p := range peers {
			d := filepath.Join(work, fmt.Sprintf("%s-%d", p.name, round))
			if err := os.Mkdir(d, 0o700); err != nil {
				return err
			}
			rate, err := p.measure(ctx, d)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			p.rates = append(p.rates, rate)
			os.RemoveAll(d)
		}
	}

	fmt.Printf("durable registrations a second, %d clients, median of %d rounds of %v\n\n", *clients, *rounds, *span)
	base := measure.Median(peers[0].rates)
	for _, p := range peers {
		m := measure.Median(p.rates)
		fmt.Printf("%-10s %8.0f   %5.2f x etcd   (%.0f to %.0f)\n", p.name, m, m/base, slices.Min(p.rates), slices.Max(p.rates))
	}
	return nil
}

var perSecond = regexp.MustCompile(`([0-9.e+]+) registrations/s`)

// measureRegistry runs the benchmark that package boltstore has for it.
func measureRegistry(ctx context.Context, bench, dir string) (float64, error) {
	cmd := exec.CommandContext(ctx, bench, "-test.run=^$", "-test.bench=^BenchmarkRegister$/^store=bolt$/^clients="+strconv.Itoa(*clients)+"$", "-test.benchtime="+span.String())
	cmd.Env = append(os.Environ(), "ROLLCALL_BENCH_DIR="+dir)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	m := perSecond.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no result for %d clients in\n%s", *clients, out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// process starts a server whose output is kept for the case that it fails, and
// returns how to stop it.
func process(name string, args ...string) (stop func(), log func() string, err error) {
	f, err := os.CreateTemp("", "peer-*.log")
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(err, os.Remove(f.Name()))
	}
	log = func() string {
		b, _ := os.ReadFile(f.Name())
		return string(b[max(0, len(b)-4096):])
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait() // killed: its error is what was asked for
		f.Close()
		os.Remove(f.Name())
	}, log, nil
}
