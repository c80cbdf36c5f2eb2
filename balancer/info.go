package balancer

import (
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// NodeInfo is what a debug page wants to know of a node.
type NodeInfo struct {
	Endpoint resolver.Endpoint
	Standing Standing
	Since    time.Time // when it got its standing
	Until    time.Time // when it will be probed, if it is out and time brings it back
	Reason   error     // why it is out
	Active   bool      // it is among those picked from: of the tier in use, and usable
	Panic    bool      // it is active though ejected: too many others are, too
	Share    float64   // of the calls that it should get now, 0..1

	InFlight int
	Cost     time.Duration // latency and failures in one
	Latency  time.Duration // peak-EWMA
	Failing  float64       // share of calls that fail, lately, 0..1
	Ramp     float64       // slow start, up to 1

	Picks       uint64
	Failures    uint64 // calls Failed or Refused
	Consecutive int    // failures in a row
	Ejections   int    // lately: time in good standing takes them back
	LastError   error
	LastErrorAt time.Time

	Node *Node
}

// Nodes returns the state of all nodes, by priority and address. Each node's
// numbers are read one after the other, while calls go on.
func (g *Group) Nodes() []NodeInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.snap.Load()
	shares := map[*Node]float64{}
	panicked := map[*Node]bool{}
	before := 0.0
	for i, t := range s.tiers {
		part := 0.0 // of the calls
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
			panicked[n] = t.panic && !n.in()
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
		m := &n.meter
		m.mu.Lock()
		info.Latency, info.Failing = time.Duration(m.latency), float64(m.failing)
		info.Failures, info.LastError, info.LastErrorAt = m.failures, n.fault.err, g.clock(n.fault.at)
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

// expecter is a Picker whose shares do not simply follow the weights.
type expecter interface {
	// expect adds to out what each node should get of part of the calls.
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

// expectEven is expect for those that do not care about weights.
func expectEven(nodes []*Node, part float64, out map[*Node]float64) {
	for _, n := range nodes {
		out[n] += part / float64(len(nodes))
	}
}
