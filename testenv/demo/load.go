package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/testenv"
)

const (
	service = "_math._tcp.svc."
	method  = "Arith.Multiply"
	// outstanding bounds the calls in flight, in case all servers are dead at once.
	outstanding = 1000
)

// A caller makes the demo's calls and counts them.
type caller struct {
	opts     options
	fleet    *fleet
	several  *several // nil: one dnsd
	client   *rpcclient.Client
	resolver *resolver.Resolver
	began    time.Time

	mu        sync.Mutex // guards the fields below
	calls     int64
	failed    int64
	firstErr  string
	latencies []time.Duration
	nodes     map[string]*tally // by address
	last      map[string]int64  // answered at the last frame
	pace      []float64         // of each server: answers between two frames, averaged
	lastCalls int64
	lastFrame time.Time
}

// A tally is what one address answered.
type tally struct {
	id       string
	answered int64
	latency  time.Duration // moving average
}

func newCaller(where *site, o options, f *fleet) (*caller, error) {
	policy, err := balancer.ByName(o.policy)
	if err != nil {
		return nil, err
	}
	c := &caller{
		opts: o, fleet: f, several: where.several, nodes: map[string]*tally{}, last: map[string]int64{},
		resolver: &resolver.Resolver{Servers: where.dns},
	}
	c.client, err = rpcclient.New(service, &rpcclient.Config{
		Source:  c.resolver,
		Policy:  policy,
		Methods: map[string]rpcclient.Method{method: {Idempotent: true}},
		Trace:   &rpcclient.Trace{Sent: c.sent, Answered: c.answered},
	})
	return c, err
}

func (c *caller) close() { c.client.Close() }

func (c *caller) sent(_, node string) { c.fleet.sent(node, time.Now()) }

func (c *caller) answered(_, node string, took time.Duration, err error) {
	id := c.fleet.idOf(node)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.nodes[node]
	if t == nil {
		t = &tally{id: id, latency: took}
		c.nodes[node] = t
	}
	t.answered++
	t.latency += (took - t.latency) / 16
}

// run makes calls at the wanted rate, however long they take, until ctx ends, and
// waits for the last ones.
func (c *caller) run(ctx context.Context) {
	c.began = time.Now()
	c.mu.Lock()
	c.lastFrame = c.began
	c.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, outstanding)
	tick := time.NewTicker(max(time.Second/time.Duration(c.opts.rate), time.Millisecond))
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// As many as are due: several calls may fall into one tick, and ticks may be late.
		due := int(time.Since(c.began).Seconds() * float64(c.opts.rate))
		for ; n < due; n++ {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			operand := n
			wg.Go(func() {
				defer func() { <-room }()
				c.call(operand)
			})
		}
	}
}

// call makes one call. The end of the demo does not cancel it.
func (c *caller) call(n int) {
	args := &testenv.Args{A: n, B: 7}
	began := time.Now()
	product, err := rpcclient.Invoke[int](context.Background(), c.client, method, args)
	took := time.Since(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.latencies = append(c.latencies, took)
	if err == nil && product != args.A*args.B {
		c.failed++
		c.firstErr = "wrong product"
	} else if err != nil {
		c.failed++
		if c.firstErr == "" {
			c.firstErr = err.Error()
		}
	}
}

// rows is the state of each server, its share averaged over the last few rows.
func (c *caller) rows() []row {
	state, _ := c.resolver.Cached(service) // without an answer there is no TTL to show
	left := state.TTL - time.Since(state.Confirmed)
	stats := map[string]rpcclient.NodeStats{}
	for _, n := range c.client.Stats().Nodes {
		stats[n.Addr] = n
	}
	servers, _ := c.fleet.snapshot()

	c.mu.Lock()
	defer c.mu.Unlock()
	var rows []row
	var sum float64
	c.pace = append(c.pace, make([]float64, len(servers)-len(c.pace))...)
	for i, p := range servers {
		r := row{id: p.id, addr: p.addr, priority: 10, weight: p.weight, state: "dead"}
		if p.addr != "" {
			r.state = "up"
			published := slices.ContainsFunc(state.Endpoints, func(e resolver.Endpoint) bool { return e.Addr == p.addr })
			n, known := stats[p.addr]
			switch {
			case !known && !published:
				r.state = "new"
			case n.Connections == 0:
				r.state = "connecting"
			}
			if published {
				r.ttl = max(left, 0)
			}
			r.inFlight = n.InFlight
			if t := c.nodes[p.addr]; t != nil {
				r.latency = t.latency
				c.pace[i] += (float64(t.answered-c.last[p.addr]) - c.pace[i]) / 3
				c.last[p.addr] = t.answered
			}
		} else {
			c.pace[i] = 0
		}
		sum += c.pace[i]
		rows = append(rows, r)
	}
	for i := range rows {
		if sum > 0 {
			rows[i].share = c.pace[i] / sum
		}
	}
	return rows
}

func (c *caller) totals() totals {
	retried := int64(c.client.Stats().Retries)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	t := totals{elapsed: now.Sub(c.began), calls: c.calls, failed: c.failed, retried: retried}
	t.rate = float64(c.calls-c.lastCalls) / now.Sub(c.lastFrame).Seconds()
	c.lastCalls, c.lastFrame = c.calls, now
	return t
}

func (c *caller) summary() *summary {
	retried := int64(c.client.Stats().Retries)
	_, kills := c.fleet.snapshot()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.latencies)
	s := &summary{
		Seconds: time.Since(c.began).Seconds(), Calls: c.calls, Failed: c.failed, Retried: retried,
		Kills: len(kills), PerInstance: map[string]int64{}, KillToLastCall: []killed{}, FirstError: c.firstErr,
		P50: percentile(c.latencies, 0.50).Round(time.Microsecond).String(),
		P99: percentile(c.latencies, 0.99).Round(time.Microsecond).String(),
		Max: percentile(c.latencies, 1).Round(time.Microsecond).String(),
	}
	if c.several != nil {
		s.KillToWrite = c.several.killed()
	}
	for _, t := range c.nodes {
		s.PerInstance[t.id] += t.answered
	}
	for _, k := range kills {
		s.KillToLastCall = append(s.KillToLastCall, killed{ID: k.id, MS: float64(k.lastCall.Microseconds()) / 1000})
	}
	return s
}
