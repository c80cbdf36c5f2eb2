//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
	"github.com/rollcall-dns/rollcall/register"
)

func failover(ctx context.Context, p programs) error {
	c, err := newCluster(ctx, p)
	if err != nil {
		return err
	}
	defer c.stop()
	kinds := []struct {
		name   string
		signal syscall.Signal
		rounds int
	}{
		{"kill -9", syscall.SIGKILL, *kills},
		{"clean stop", syscall.SIGTERM, *kills},
		{"hangs (SIGSTOP)", syscall.SIGSTOP, *hangs},
	}
	var lines []string
	for _, k := range kinds {
		var times []time.Duration
		for n := range k.rounds {
			took, err := c.fail(ctx, k.signal, n)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			progress("%s: %v", k.name, took)
			times = append(times, took)
		}
		if len(times) > 0 {
			lines = append(lines, fmt.Sprintf("| %s | %d | %v | %v | %v |", k.name, len(times),
				milliseconds(slices.Min(times)), milliseconds(measure.Median(times)), milliseconds(measure.Quantile(times, 0.99))))
		}
	}
	fmt.Println("from the end of the writer to the first acknowledged registration at another dnsd; session 5s; everything on one machine")
	fmt.Println("\n| the writer | rounds | least | median | p99 |\n|---|---|---|---|---|")
	for _, l := range lines {
		fmt.Println(l)
	}
	return nil
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// fail ends the writer by a signal, measures, and mends the cluster.
func (c *cluster) fail(ctx context.Context, s syscall.Signal, round int) (time.Duration, error) {
	if err := rest(ctx); err != nil {
		return 0, err
	}
	writer, followers, err := c.roles(ctx)
	if err != nil {
		return 0, err
	}
	id := fmt.Sprintf("s%d-%d", s, round)
	began := time.Now()
	var took time.Duration
	switch s {
	case syscall.SIGTERM:
		took, err = stopped(ctx, writer, followers, id)
	case syscall.SIGSTOP:
		if err = writer.signal(s); err == nil {
			took, err = newcomer(ctx, began, id, followers...)
		}
	default:
		writer.end(s)
		took, err = newcomer(ctx, began, id, writer, followers[0], followers[1])
	}
	if err != nil {
		return 0, fmt.Errorf("%w\n%s\n%s", err, followers[0].said(), followers[1].said())
	}
	if s == syscall.SIGSTOP {
		err = writer.signal(syscall.SIGCONT)
	} else {
		err = writer.start()
	}
	if err != nil {
		return 0, err
	}
	return took, c.settled(ctx)
}

// stopped stops the writer cleanly, and lets servers start one after the other meanwhile.
// It returns the time of the slowest.
func stopped(ctx context.Context, writer *node, followers []*node, id string) (slowest time.Duration, err error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		writer.end(syscall.SIGTERM)
	}()
	defer func() { <-ended }()
	for n := 0; ; n++ {
		last := false
		select {
		case <-ended:
			last = true
		default:
		}
		took, err := newcomer(ctx, time.Now(), fmt.Sprintf("%s-%d", id, n), writer, followers[0], followers[1])
		if err != nil {
			return 0, err
		}
		if slowest = max(slowest, took); last {
			return slowest, nil
		}
	}
}

// newcomer is a server that starts and registers at one of some dnsd. Renewals and a hold
// come after the registration, so they are not of interest.
func newcomer(ctx context.Context, began time.Time, id string, nodes ...*node) (time.Duration, error) {
	var hooks []string
	for _, n := range nodes {
		hooks = append(hooks, n.hook)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cfg := register.Config{
		Hooks: hooks, Service: "_failover._tcp", ID: id, NoHold: true,
		Registration: register.Registration{Host: "10.0.0.1", Port: 8080}, Logger: slog.New(slog.DiscardHandler),
	}
	if *verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	lease, err := register.Keep(ctx, cfg)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, lease.Close(ctx)
}
