//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
)

// connections that the clients of etcd share: one HTTP/2 connection would be its
// bottleneck.
const connections = 8

// row is one row of the table.
type row struct {
	name  string
	rate  func(context.Context) (float64, error) // registrations a second
	rates []float64

	servers, client []float64 // CPU us of a registration, if it was measured
	shared          []float64 // registrations of a commit, if dnsd has committed them
}

func registrations(ctx context.Context, p programs) error {
	c, err := newCluster(ctx, p)
	if err != nil {
		return err
	}
	defer c.stop()
	writer, followers, err := c.roles(ctx)
	if err != nil {
		return err
	}
	etcd, err := dialEtcd(c.nodes)
	if err != nil {
		return err
	}
	defer etcd.close()
	serial := 0
	overHTTP := func(nodes ...*node) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			h := newHooks(*clients, nodes...)
			defer h.close()
			serial++
			name := fmt.Sprintf("r%dx", serial)
			return measure.Rate(ctx, *clients, *span, func(ctx context.Context, n int64) error { return h.register(ctx, name, n) })
		}
	}
	rows := []*row{
		{name: "etcd, a lease and a put", rate: func(ctx context.Context) (float64, error) {
			serial++
			return measure.Rate(ctx, *clients, *span, func(ctx context.Context, n int64) error { return etcd.register(ctx, serial, n) })
		}},
		{name: "http, at the writer", rate: overHTTP(writer)},
		{name: "http, at a follower", rate: overHTTP(followers[0])},
		{name: "http, at all three", rate: overHTTP(c.nodes...)},
	}
	for round := range *rounds {
		for i := range rows {
			r := rows[(i+round)%len(rows)]
			if err := r.measure(ctx, c); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	fmt.Printf("durable registrations a second at three dnsd with etcd inside, %d clients, median of %d rounds of %v; servers and clients share the cores\n\n", *clients, *rounds, *span)
	table(rows)
	return nil
}

// below measures the registry of the same below HTTP.
func below(ctx context.Context, p programs) error {
	rows, err := belowHTTP(ctx, p)
	if err != nil {
		return err
	}
	fmt.Printf("the same below HTTP, with all three in one process\n\n")
	table(rows)
	return nil
}

// table prints rows beside the first of them.
func table(rows []*row) {
	fmt.Println("| | registrations/s (min to max) | to etcd | a commit | CPU us of each: servers | client |\n|---|---|---|---|---|---|")
	base := measure.Median(rows[0].rates)
	for _, r := range rows {
		m := measure.Median(r.rates)
		fmt.Printf("| %s | %.0f (%.0f to %.0f) | %.2f |", r.name, m, slices.Min(r.rates), slices.Max(r.rates), m/base)
		if r.servers == nil {
			fmt.Println(" | | |")
			continue
		}
		fmt.Printf(" %.0f | %.0f | %.0f |\n", measure.Median(r.shared), measure.Median(r.servers), measure.Median(r.client))
	}
}

// measure takes one round.
func (r *row) measure(ctx context.Context, c *cluster) error {
	before, err := cpuOf(c.nodes...)
	if err != nil {
		return err
	}
	committed, err := c.commits(ctx)
	if err != nil {
		return err
	}
	own, began := ownCPU(), time.Now()
	rate, err := r.rate(ctx)
	if err != nil {
		return err
	}
	done := rate * time.Since(began).Seconds()
	after, err := cpuOf(c.nodes...)
	if err != nil {
		return err
	}
	spent := time.Duration(0)
	for i := range after {
		spent += after[i] - before[i]
	}
	r.rates = append(r.rates, rate)
	r.servers = append(r.servers, float64(spent.Microseconds())/done)
	r.client = append(r.client, float64((ownCPU()-own).Microseconds())/done)
	now, err := c.commits(ctx)
	if err != nil {
		return err
	}
	shared := 0.0
	if now > committed {
		shared = done / (now - committed)
	}
	r.shared = append(r.shared, shared)
	progress("%s: %.0f/s, CPU us %.0f and %.0f, %.1f a commit", r.name, rate, r.servers[len(r.servers)-1], r.client[len(r.client)-1], shared)
	return nil
}

// commits of all dnsd so far.
func (c *cluster) commits(ctx context.Context) (sum float64, err error) {
	for _, n := range c.nodes {
		page, err := read(ctx, n.hook+"/metrics")
		if err != nil {
			return 0, err
		}
		m := commitsTotal.FindSubmatch(page)
		if m == nil {
			return 0, fmt.Errorf("%s/metrics does not say how many commits there were", n.hook)
		}
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

var commitsTotal = regexp.MustCompile(`(?m)^rollcall_registry_commits_total (\S+)$`)

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// etcdClient is etcd's own client, on the sockets of the servers.
type etcdClient []*clientv3.Client

// dialEtcd connects to the servers in turn.
func dialEtcd(nodes []*node) (etcdClient, error) {
	var e etcdClient
	for i := range connections {
		c, err := clientv3.New(clientv3.Config{
			Endpoints: []string{"unix://" + filepath.Join(nodes[i%len(nodes)].data, "etcd.sock")}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		})
		if err != nil {
			e.close()
			return nil, err
		}
		e = append(e, c)
	}
	return e, nil
}

func (e etcdClient) close() {
	for _, c := range e {
		c.Close()
	}
}

// register makes an instance known until its lease ends, as one does with etcd.
func (e etcdClient) register(ctx context.Context, row int, n int64) error {
	c := e[n%int64(len(e))]
	lease, err := c.Grant(ctx, 3600)
	if err != nil {
		return err
	}
	_, err = c.Put(ctx, fmt.Sprintf("/leased/r%dx%d/a%d", row, n/10, n), value(n, 100), clientv3.WithLease(lease.ID))
	return err
}

// revision of etcd's data now.
func (e etcdClient) revision(ctx context.Context) (int64, error) {
	r, err := e[0].Get(ctx, "none")
	if err != nil {
		return 0, err
	}
	return r.Header.Revision, nil
}

// size of etcd's data on one server, in octets.
func (e etcdClient) size(ctx context.Context) (int64, error) {
	r, err := e[0].Status(ctx, e[0].Endpoints()[0])
	if err != nil {
		return 0, err
	}
	return r.DbSize, nil
}

var result = regexp.MustCompile(`(?m)^BenchmarkRegister/(\S+?)(?:-\d+)?\s.*?([0-9.e+]+) registrations/s`)

// belowHTTP runs the benchmark that dnsd/cluster has for it.
func belowHTTP(ctx context.Context, p programs) ([]*row, error) {
	rows := []*row{
		{name: "etcd, a lease and a put"},
		{name: "registry, at the writer"},
		{name: "registry, at a follower"},
		{name: "registry, at all three"},
	}
	of := map[string]*row{"etcd": rows[0], "at=writer": rows[1], "at=follower": rows[2], "at=all": rows[3]}
	bench := filepath.Join(p.work, "cluster.test")
	if err := measure.GoTool(ctx, filepath.Join(p.root, "dnsd/cluster"), "test", "-c", "-o", bench, "."); err != nil {
		return nil, err
	}
	for range *rounds {
		dir, err := os.MkdirTemp(p.work, "")
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, bench, "-test.run=^$", "-test.bench=^BenchmarkRegister$", "-test.benchtime="+span.String())
		cmd.Env, cmd.Dir = append(os.Environ(), "TMPDIR="+dir), dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("BenchmarkRegister: %w\n%s", err, out)
		}
		for _, m := range result.FindAllSubmatch(out, -1) {
			rate, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil || of[string(m[1])] == nil {
				return nil, fmt.Errorf("BenchmarkRegister says %q", m[0])
			}
			progress("%s: %.0f/s", m[1], rate)
			of[string(m[1])].rates = append(of[string(m[1])].rates, rate)
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	for _, r := range rows {
		if len(r.rates) == 0 {
			return nil, errors.New("BenchmarkRegister has no result for a row")
		}
	}
	return rows, nil
}
