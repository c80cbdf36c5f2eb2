//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/bench/internal/dnsload"
	"github.com/rollcall-dns/rollcall/bench/internal/measure"
)

func million(ctx context.Context, p programs) error {
	c, err := newCluster(ctx, p)
	if err != nil {
		return err
	}
	defer c.stop()
	began := time.Now()
	if err := c.fill(ctx, int64(*instances)); err != nil {
		return err
	}
	progress("%d instances registered in %v", *instances, time.Since(began).Round(time.Second))
	if err := c.level(ctx); err != nil {
		return err
	}
	writer, followers, err := c.roles(ctx)
	if err != nil {
		return err
	}
	follower := followers[0]
	etcd, err := dialEtcd(c.nodes)
	if err != nil {
		return err
	}
	defer etcd.close()
	size, err := etcd.size(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d instances at three dnsd with etcd inside, ten a service; everything on one machine\n\n| | |\n|---|---|\n", *instances)
	fmt.Printf("| etcd's database | %s |\n", mebibytes(size))
	fmt.Printf("| directory of a dnsd | %s |\n", mebibytes(sizeOf(follower.data)))
	for _, n := range []*node{writer, follower} {
		role := "follower"
		if n == writer {
			role = "writer"
		}
		fmt.Printf("| %s, resident after the registrations | %s |\n", role, mebibytes(memory(n, "VmRSS")))
	}
	if err := starts(ctx, follower); err != nil {
		return err
	}
	if err := c.level(ctx); err != nil {
		return err
	}
	return c.renewals(ctx, etcd, writer, follower)
}

// starts stops a follower and starts it again, with and without its local copy.
func starts(ctx context.Context, follower *node) error {
	for _, how := range []struct {
		name   string
		before func() error
	}{
		{"start of a follower until it is ready", func() error { return nil }},
		{"the same, without its local copy", func() error { return os.RemoveAll(filepath.Join(follower.data, "copy.db")) }},
	} {
		follower.end(syscall.SIGTERM)
		if err := how.before(); err != nil {
			return err
		}
		took, err := follower.restart(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", how.name, err, follower.said())
		}
		fmt.Printf("| %s | %v |\n", how.name, took.Round(10*time.Millisecond))
		fmt.Printf("| its memory: resident, and the most it had | %s, %s |\n", mebibytes(memory(follower, "VmRSS")), mebibytes(memory(follower, "VmHWM")))
	}
	return nil
}

// restart starts it, and returns how long it took until it was ready.
func (n *node) restart(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := n.start(); err != nil {
		return 0, err
	}
	err := measure.Await(ctx, 5*time.Minute, n.ready)
	return time.Since(began), err
}

// fill registers instances with many clients, so that a commit has as many as it may have.
func (c *cluster) fill(ctx context.Context, count int64) error {
	const workers = 256
	h := newHooks(workers, c.nodes...)
	defer h.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < count && ctx.Err() == nil; n = next.Add(1) - 1 {
				if err := h.register(ctx, "m", n); err != nil {
					cancel(err)
				}
				if n%50_000 == 49_999 {
					progress("%d instances", n+1)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// level waits until all members have the same revision.
func (c *cluster) level(ctx context.Context) error {
	return measure.Await(ctx, 5*time.Minute, func(ctx context.Context) error {
		if err := c.settled(ctx); err != nil {
			return err
		}
		var s state
		if err := get(ctx, c.nodes[0].hook+"/v1/cluster", &s); err != nil {
			return err
		}
		for _, m := range s.Members {
			if m.Error != "" || m.Revision != s.Members[0].Revision {
				return fmt.Errorf("member %s is at revision %d, %s at %d %s", m.Name, m.Revision, s.Members[0].Name, s.Members[0].Revision, m.Error)
			}
		}
		return nil
	})
}

// renewals through a follower: one a request, and many a request.
func (c *cluster) renewals(ctx context.Context, etcd etcdClient, writer, follower *node) error {
	h := newHooks(*clients, follower)
	defer h.close()
	const many = 1000 // in a request
	for _, way := range []struct {
		name   string
		leases float64 // in a request
		do     func(ctx context.Context, n int64) error
	}{
		{"a PUT for each", 1, func(ctx context.Context, n int64) error {
			return h.do(ctx, 0, http.MethodPut, instancePath("m", n%int64(*instances)), value(n%int64(*instances), 100), http.StatusOK)
		}},
		{fmt.Sprintf("%d a POST /v1/renew", many), many, func(ctx context.Context, n int64) error {
			var b strings.Builder
			for i := range int64(many) {
				k := (n*many + i) % int64(*instances)
				fmt.Fprintf(&b, `,"_m%d._tcp/a%d"`, k/10, k)
			}
			return h.do(ctx, 0, http.MethodPost, "/v1/renew", `{"instances":[`+b.String()[1:]+`]}`, http.StatusOK)
		}},
	} {
		before, err := etcd.revision(ctx)
		if err != nil {
			return err
		}
		cpu, err := cpuOf(writer, follower)
		if err != nil {
			return err
		}
		began := time.Now()
		rate, err := measure.Rate(ctx, *clients, *span, way.do)
		if err != nil {
			return fmt.Errorf("renewals, %s: %w", way.name, err)
		}
		took := time.Since(began)
		after, err := etcd.revision(ctx)
		if err != nil {
			return err
		}
		now, err := cpuOf(writer, follower)
		if err != nil {
			return err
		}
		done := rate * way.leases * took.Seconds()
		each := func(i int) float64 { return float64((now[i] - cpu[i]).Microseconds()) / done }
		fmt.Printf("| renewals a second through a follower, %s | %.0f |\n", way.name, rate*way.leases)
		fmt.Printf("| CPU of each, follower and writer | %.1f us, %.1f us |\n", each(1), each(0))
		fmt.Printf("| etcd's revision before and after | %d, %d |\n", before, after)
		if before != after {
			return errors.New("renewals have changed etcd's data")
		}
	}
	return nil
}

// cpuOf processes so far.
func cpuOf(nodes ...*node) (times []time.Duration, err error) {
	for _, n := range nodes {
		t, err := dnsload.CPUTime(n.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	return times, nil
}

// memory of a process, in octets, from /proc/PID/status; 0 if it cannot be read.
func memory(n *node, field string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == field+":" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// sizeOf a directory on the disk, in octets.
func sizeOf(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
