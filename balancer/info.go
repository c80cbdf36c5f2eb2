package balancer

import (
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// NodeInfo describes a node, for a debug page.
type NodeInfo struct {
	Endpoint resolver.Endpoint
	Standing Standing
	Since    time.Time // when it got its standing
	Until    time.Time // when it will be probed, or is no longer away; zero: not at a known time
	Reason   error     // why it is out
	Active   bool      // calls may go to it: it is usable, and its tier is in use
	Panic    bool      // it is active although ejected, because too many nodes failed
	Share    float64   // the share of the calls that it should get now, 0..1

	InFlight int
	Cost     time.Duration // latency and failures in one
	Latency  time.Duration // peak-EWMA
	Failing  float64       // share of calls that failed lately, 0..1
	Ramp     float64       // slow start: up to 1, the full share

	Picks       uint64
	Failures    uint64 // calls that were Failed or Refused
	Refusals    uint64 // calls that were Refused
	Consecutive int    // failures in a row
	Ejections   int    // lately: they are forgotten while it is in good standing
	LastError   error
	LastErrorAt time.Time

	Node *Node
}

// Nodes describes all nodes, by priority and address. Calls go on meanwhile, so the
// numbers are not of one instant.
func (g *Group) Nodes() []NodeInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.snap.Load()
	shares := map[*Node]float64{}
	panicked := map[*Node]bool{}
	before := 0.0
	for i, t := range s.tiers {
		part := 0.0 // the share of the calls of this tier
		switch {
		case s.spread != nil:
			part = s.spread[i] - before
			before = s.spread[i]
		case i == 0:
			part = 1
		}
		if part == 0 {
			continue
		}
		expect(t.picker, t.nodes, part, shares)
		for _, n := range t.nodes {
			panicked[n] = t.panic && n.soft()
		}
	}
	out := make([]NodeInfo, len(g.order))
	for i, n := range g.order {
		share, active := shares[n]
		info := NodeInfo{
			Endpoint: n.Endpoint(), Standing: n.state, Since: g.clock(n.since), Until: g.clock(n.until), Reason: n.err,
			Active: active, Panic: panicked[n], Share: share,
			InFlight: n.InFlight(), Cost: n.Cost(), Ramp: float64(n.ramp.Load()) / fullRamp,
			Picks: n.Picks(), Consecutive: int(n.fails.Load()), Ejections: n.level, Node: n,
		}
		if n.away.is() {
			info.Standing, info.Reason = Away, n.away.err
			info.Since, info.Until = g.clock(n.away.since), g.clock(n.away.until)
			if n.away.shut {
				info.Until = time.Time{}
			}
		}
		m := &n.meter
		m.mu.Lock()
		info.Latency, info.Failing = time.Duration(m.latency), float64(m.failing)
		info.Failures, info.Refusals = m.failures, m.refusals
		info.LastError, info.LastErrorAt = n.fault.err, g.clock(n.fault.at)
		m.mu.Unlock()
		out[i] = info
	}
	return out
}

// clock turns nanoseconds since base into a time; 0 stays zero.
func (g *Group) clock(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return g.base.Add(time.Duration(at))
}

// expecter is a Picker whose shares are not simply those of Shares.
type expecter interface {
	// expect adds to out what share each node should get when the picker gets the share
	// part of all calls.
	expect(part float64, out map[*Node]float64)
}

func expect(p Picker, nodes []*Node, part float64, out map[*Node]float64) {
	if e, ok := p.(expecter); ok {
		e.expect(part, out)
		return
	}
	for i, share := range Shares(nodes) {
		out[nodes[i]] += part * share
	}
}

// expectEven is expect for a picker that ignores weights.
func expectEven(nodes []*Node, part float64, out map[*Node]float64) {
	for _, n := range nodes {
		out[n] += part / float64(len(nodes))
	}
}

// Tests: health_test.go, shares_test.go.
