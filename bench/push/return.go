//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

const (
	tick     = 100 * time.Millisecond // of what is counted
	longest  = 5 * time.Minute        // a run is shorter
	complete = 90 * time.Second       // all have to be back sooner
)

// counts are the queries and connections of all Resolvers, by tick since a beginning.
type counts struct {
	begin          atomic.Int64 // Unix nanoseconds
	queries, dials [longest / tick]atomic.Int64
}

func (c *counts) now() int {
	at := time.Now().UnixNano() - c.begin.Load()
	return int(min(max(at, 0)/int64(tick), int64(len(c.queries)-1)))
}

// reset lets the counts begin now.
func (c *counts) reset() {
	c.begin.Store(time.Now().UnixNano())
	for i := range c.queries {
		c.queries[i].Store(0)
		c.dials[i].Store(0)
	}
}

// most is the highest count of any second from one tick to another, and of any tick.
func most(v []atomic.Int64, from, to int) (second, one int64) {
	per := int(time.Second / tick)
	for i := from; i < to; i++ {
		sum := int64(0)
		for j := max(i-per+1, from); j <= i; j++ {
			sum += v[j].Load()
		}
		second, one = max(second, sum), max(one, v[i].Load())
	}
	return second, one
}

// dial connects Resolver i from its own address, and counts.
func (c *counts) dial(i int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: sourceOf(i)}}
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: sourceOf(i)}
			c.queries[c.now()].Add(1) // each has a socket of its own
		} else {
			c.dials[c.now()].Add(1)
		}
		return d.DialContext(ctx, network, address)
	}
}

// watchers are Resolvers that follow the service.
type watchers struct {
	counts counts
	stop   context.CancelFunc
	done   sync.WaitGroup
	hears  atomic.Int64 // those that have the instance that comes at the end
	wrong  atomic.Int64 // states without endpoints
}

func watchAll(ctx context.Context, n int, server netip.AddrPort) *watchers {
	w := new(watchers)
	ctx, w.stop = context.WithCancel(ctx)
	w.counts.reset()
	for i := range n {
		r := &resolver.Resolver{Servers: []string{server.String()}, Dial: w.counts.dial(i)}
		w.done.Go(func() {
			has := false
			for s := range r.Watch(ctx, service+".svc.") {
				if len(s.Endpoints) == 0 {
					w.wrong.Add(1)
				}
				if now := len(s.Endpoints) > many; now != has {
					if has = now; now {
						w.hears.Add(1)
					} else {
						w.hears.Add(-1)
					}
				}
			}
		})
		if i%50 == 0 {
			time.Sleep(10 * time.Millisecond) // they come as programs start, not all at once
		}
	}
	return w
}

func returns(ctx context.Context, p programs) error {
	s, err := newServer(ctx, p, "return", nil)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	for i := range many {
		if err := s.do("PUT", path(service, fmt.Sprintf("a%d", i)), instance(1000+i, full)); err != nil {
			return err
		}
	}
	w := watchAll(ctx, *clients, s.dns)
	defer w.done.Wait()
	defer w.stop()
	if _, err := s.subscribed(ctx); err != nil {
		return err
	}
	fmt.Printf("dnsd is killed and returns; %d Resolvers follow one service\n\n", *clients)
	fmt.Printf("%-6s %-22s %10s %10s %10s %10s\n", "", "", "queries/s", "in 100 ms", "dials/s", "in 100 ms")
	for text := range strings.SplitSeq(*downs, ",") {
		down, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		if err := w.oneReturn(ctx, s, down); err != nil {
			return fmt.Errorf("away for %v: %w\n%s", down, err, s.said())
		}
	}
	return nil
}

// oneReturn kills dnsd, starts it after a time, and waits until all follow it again.
func (w *watchers) oneReturn(ctx context.Context, s *server, down time.Duration) error {
	w.counts.reset()
	w.wrong.Store(0)
	s.kill()
	select {
	case <-time.After(down):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	back := w.counts.now()
	took, err := s.subscribed(ctx)
	if err != nil {
		return err
	}
	end := w.counts.now()
	row := func(when string, from, to int) {
		qs, q := most(w.counts.queries[:], from, to)
		ds, d := most(w.counts.dials[:], from, to)
		fmt.Printf("%-6v %-22s %10d %10d %10d %10d\n", down, when, qs, q, ds, d)
	}
	row("away", 0, back)
	row("from its return on", back, end+1)
	begin := time.Now()
	if err := s.do("PUT", path(service, "more"), instance(999, full)); err != nil {
		return err
	}
	heard := await(ctx, func() error {
		if n := int(w.hears.Load()); n < *clients {
			return fmt.Errorf("%d of %d have heard of the instance that came at the end", n, *clients)
		}
		return nil
	})
	fmt.Printf("%-6v all are subscribed %v after its return, and have a change after %v; %d times a client had no endpoint\n", down, took.Round(tick), time.Since(begin).Round(time.Millisecond), w.wrong.Load())
	return errors.Join(heard, s.do("DELETE", path(service, "more"), ""))
}

// subscribed waits until all Resolvers follow the service.
func (s *server) subscribed(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	for {
		n, err := s.subscriptions()
		took := time.Since(begin)
		switch {
		case err == nil && n >= *clients:
			return took, nil
		case took > complete:
			return took, errors.Join(fmt.Errorf("%d of %d are subscribed after %v", n, *clients, complete), err)
		}
		select {
		case <-time.After(tick / 2):
		case <-ctx.Done():
			return took, ctx.Err()
		}
	}
}
