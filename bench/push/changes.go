//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

const (
	service = "_math._tcp"
	full    = 100 // weight of an instance
	little  = 1   // weight of one that is to get next to no calls
	stay    = 2   // instances that are there all the time. The last one comes and goes
	// calm is how long no call may have ignored a change for it to be known to all. So long no
	// call would ignore it by chance: each third call does before it.
	calm      = 8 * time.Millisecond
	calmCalls = 30
	soon      = 2 * (stay + 1)   // calls, between two to one instance of weight full
	slowest   = 10 * time.Second // a change that takes longer is a failure
)

// registry is one of the two systems.
type registry interface {
	// put registers an instance, or changes it.
	put(id string, port, weight int) error
	drain(id string, port int) error
	remove(id string) error
	// source tells clients where the service is.
	source() resolver.Source
	// stored is how long the store has taken for all changes so far, for -parts.
	stored() (time.Duration, error)
	close()
}

// Node is a server that says which one it is.
type Node int

// Which has the form that net/rpc wants.
func (n Node) Which(_ int, reply *int) error {
	*reply = int(n)
	return nil
}

// side is a registry, the instances in it, and a client.
type side struct {
	name string
	registry
	client  *rpcclient.Client
	ports   []int
	servers []*rpcserver.Server
	times   map[string][]time.Duration // by kind of change
	marks   marks
	splits  map[string][]split
	store   time.Duration // what the store has taken for all changes before
}

func newSide(name string, r registry) (*side, error) {
	s := &side{name: name, registry: r, times: make(map[string][]time.Duration), splits: make(map[string][]split)}
	for i := range stay + 1 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		srv := rpcserver.New(rpcserver.Config{})
		if err := srv.RegisterName("Node", Node(i)); err != nil {
			return nil, err
		}
		go srv.Serve(l)
		s.servers = append(s.servers, srv)
		s.ports = append(s.ports, l.Addr().(*net.TCPAddr).Port)
	}
	for i := range stay {
		if err := r.put(s.id(i), s.ports[i], full); err != nil {
			return nil, err
		}
	}
	var err error
	s.client, err = rpcclient.New(service+".svc", &rpcclient.Config{
		Source: marked{r.source(), &s.marks},
		Policy: balancer.WeightedRoundRobin,
		Health: balancer.Health{SlowStart: -1}, // a new instance has its share at once
		Conn:   rpcclient.ConnConfig{Dial: s.marks.dial},
	})
	return s, err
}

func (s *side) id(i int) string { return fmt.Sprintf("a%d", i) }

func (s *side) end() {
	s.client.Close()
	for _, srv := range s.servers {
		srv.Close()
	}
	s.close()
}

// note notes how long a change took.
func (s *side) note(kind string, began, end time.Time) error {
	s.times[kind] = append(s.times[kind], max(end.Sub(began), 0))
	if !*showParts {
		return nil
	}
	store, err := s.stored()
	s.splits[kind] = append(s.splits[kind], s.marks.split(end, store-s.store))
	s.store = store
	return err
}

// during makes a change while the client calls, and hands each reply to see, with the time of
// its end, until that returns true.
func (s *side) during(ctx context.Context, change func() error, see func(node int, at time.Time) bool) (began time.Time, err error) {
	done := make(chan error, 1)
	begin := time.Now()
	go func() {
		began = time.Now()
		s.marks.begin(began)
		done <- change()
	}()
	for {
		var node int
		if err := s.client.Call(ctx, "Node.Which", 0, &node); err != nil {
			return began, errors.Join(err, <-done)
		}
		at := time.Now()
		if see(node, at) {
			return began, <-done
		}
		if at.Sub(begin) > slowest {
			return began, errors.Join(fmt.Errorf("%s: the client has not heard of a change for %v", s.name, slowest), <-done)
		}
	}
}

// first measures from a change to the first call to the instance that comes and goes.
func (s *side) first(ctx context.Context, kind string, change func() error) error {
	var end time.Time
	began, err := s.during(ctx, change, func(node int, at time.Time) bool {
		end = at
		return node == stay
	})
	return errors.Join(err, s.note(kind, began, end))
}

// last measures from a change to the last call that ignores it. Such a call goes to the
// instance that comes and goes, and comes soon after another one: with weight little, that gets
// one call in 201.
func (s *side) last(ctx context.Context, kind string, change func() error) error {
	var end time.Time
	since, ignored := soon, 0
	began, err := s.during(ctx, change, func(node int, at time.Time) bool {
		since++
		if node == stay {
			if since <= soon {
				end, ignored = at, 0
			}
			since = 0
		}
		if end.IsZero() {
			end = at // the first call of all
		}
		ignored++
		return at.Sub(end) > calm && ignored > calmCalls
	})
	return errors.Join(err, s.note(kind, began, end))
}

// often waits until the instance that comes and goes has its share again.
func (s *side) often(ctx context.Context, kind string, change func() error) error {
	var end time.Time
	since, calls := soon, 0
	began, err := s.during(ctx, change, func(node int, at time.Time) bool {
		end = at
		if since++; node == stay {
			if since > soon {
				calls = 0
			}
			since, calls = 0, calls+1
		}
		return calls > 2
	})
	return errors.Join(err, s.note(kind, began, end))
}

// kinds of changes, in the order in which they are made.
var kinds = []struct {
	name    string
	measure func(s *side, ctx context.Context, kind string, change func() error) error
	change  func(s *side, id string, port int) error
}{
	{"a new instance", (*side).first, func(s *side, id string, port int) error { return s.put(id, port, full) }},
	{"another weight", (*side).last, func(s *side, id string, port int) error { return s.put(id, port, little) }},
	{"the old weight", (*side).often, func(s *side, id string, port int) error { return s.put(id, port, full) }},
	{"drain", (*side).last, func(s *side, id string, port int) error { return s.drain(id, port) }},
	{"the end of drain", (*side).first, func(s *side, id string, port int) error { return s.put(id, port, full) }},
	{"deregistration", (*side).last, func(s *side, id string, _ int) error { return s.remove(id) }},
}

// measured are the kinds that have a row. The others only lead from one to the next.
var measured = []string{"a new instance", "deregistration", "drain", "another weight"}

func compareChanges(ctx context.Context, p programs) (err error) {
	if !*together {
		var undo func() error
		if p.cpus, undo, err = apart(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, undo()) }()
	}
	r, err := newRollcall(ctx, p)
	if err != nil {
		return err
	}
	ours, err := newSide("rollcall", r)
	if err != nil {
		return err
	}
	defer ours.end()
	r.sent = func() { ours.marks.mark(&ours.marks.sent) }
	sides := []*side{ours}
	if _, err := exec.LookPath("etcd"); err == nil {
		e, err := newEtcd(ctx, p)
		if err != nil {
			return err
		}
		theirs, err := newSide("etcd watch", e)
		if err != nil {
			return err
		}
		defer theirs.end()
		sides = append(sides, theirs)
	} else if os.Getenv("ROLLCALL_PEERS") == "1" {
		return fmt.Errorf("%w (apt-get install etcd-server)", err)
	}
	const warm = 20
	if err := inTurn(ctx, sides, warm); err != nil {
		return err
	}
	for _, s := range sides {
		clear(s.times)
		clear(s.splits)
	}
	if err := inTurn(ctx, sides, *cycles); err != nil {
		return err
	}
	fmt.Printf("ms from a change to the calls of one client, %d changes of each kind\n\n", *cycles)
	fmt.Printf("%-16s %-12s %7s %7s %7s %7s\n", "", "", "p50", "p90", "p99", "most")
	for _, kind := range measured {
		for _, s := range sides {
			t := s.times[kind]
			fmt.Printf("%-16s %-12s %7s %7s %7s %7s\n", kind, s.name, ms(quantile(t, 0.5)), ms(quantile(t, 0.9)), ms(quantile(t, 0.99)), ms(quantile(t, 1)))
		}
	}
	if *showParts {
		printParts(sides)
	}
	return nil
}

// inTurn makes each kind of change so often on each side.
func inTurn(ctx context.Context, sides []*side, cycles int) error {
	const (
		block  = 10                     // cycles of one side in a row: less than a second
		settle = 150 * time.Millisecond // etcd stores the changes of 100 ms with two more syncs, which are no part of the other side
	)
	sides = slices.Clone(sides)
	for done := 0; done < cycles; done += block {
		for _, s := range sides {
			time.Sleep(settle)
			for range min(block, cycles-done) {
				for _, k := range kinds {
					if err := k.measure(s, ctx, k.name, func() error { return k.change(s, s.id(stay), s.ports[stay]) }); err != nil {
						return fmt.Errorf("%s: %s: %w", s.name, k.name, err)
					}
				}
			}
		}
		slices.Reverse(sides) // whatever else the machine does hits both alike
	}
	return nil
}

// rollcall is a dnsd, and clients that follow it.
type rollcall struct{ *server }

func newRollcall(ctx context.Context, p programs) (*rollcall, error) {
	s, err := newServer(ctx, p, "rollcall", nil)
	if err != nil {
		return nil, err
	}
	return &rollcall{s}, nil
}

func (r *rollcall) put(id string, port, weight int) error {
	return r.do("PUT", path(service, id), instance(port, weight))
}

func (r *rollcall) drain(id string, port int) error {
	return r.do("PUT", path(service, id), fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"drain":true}`, port))
}

func (r *rollcall) remove(id string) error { return r.do("DELETE", path(service, id), "") }

func (r *rollcall) source() resolver.Source {
	return &resolver.Resolver{Servers: []string{r.dns.String()}}
}

func (r *rollcall) stored() (time.Duration, error) {
	return metric(r.hook+"/metrics", "rollcall_registry_commit_seconds_sum")
}

func (r *rollcall) close() { r.kill() }
