package balancer

import (
	"cmp"
	"errors"
	"math"
	"time"
)

// Health says when a node is left out of the picks, and for how long. The zero value is
// on.
type Health struct {
	// Off means that failures only raise a node's cost and never eject it. Down still
	// takes a node out, and so does a node that wants no calls.
	Off bool
	// Failures is how many failures in a row eject a node. Default 3.
	Failures int
	// Eject is how long a node is out the first time. Each further ejection doubles the
	// time, up to MaxEject, and each MaxEject in good standing takes one doubling back.
	// The time varies by a tenth, so that clients do not probe in step. Defaults 1s and
	// 30s: a dead node costs at most one call in that time.
	Eject, MaxEject time.Duration
	// MaxEjected is the share of a tier's reachable nodes that failures may eject,
	// rounded down. When more nodes fail, the fault is hardly theirs alone, and all calls
	// together would break the remaining nodes, too. Then failures are ignored and all
	// nodes are used (panic). If all nodes are out and another tier has a node that is
	// well, that tier is used instead. Default 0.5.
	MaxEjected float64
	// SlowStart is how long a node that is new or comes back takes to get its full
	// share, rising from a tenth. The first nodes of a group start with their full share.
	// While nodes warm up, the others get at most half as much again as their share.
	// Default 10s; negative: off.
	SlowStart time.Duration
	// UpOnly means that only Up brings back a node that is Down. Otherwise a call also
	// probes it when its time is over. Set it when connections are dialled in the
	// background, so that no call has to find out.
	UpOnly bool
	// Spill, when set, makes failover gradual: a tier keeps Spill times the usable share
	// of its nodes as its share of the calls, and the next tier gets the rest. 1.4 is
	// customary: with 60 % of the nodes usable, 84 % of the calls stay. Zero is strict:
	// the next tier gets calls only when no node of the better one is usable (RFC 2782).
	Spill float64
}

// forever is 36 years. Twice as much, and a time in that many years, fit a Duration.
const forever = time.Duration(1 << 60)

func (h Health) withDefaults() Health {
	if h.Failures <= 0 {
		h.Failures = 3
	}
	h.Failures = min(h.Failures, math.MaxInt32) // as Node.fails counts
	if h.Eject <= 0 {
		h.Eject = time.Second
	}
	if h.MaxEject <= 0 {
		h.MaxEject = 30 * time.Second
	}
	h.Eject = min(h.Eject, forever)
	h.MaxEject = min(max(h.MaxEject, h.Eject), forever)
	if !(h.MaxEjected > 0 && h.MaxEjected <= 1) {
		h.MaxEjected = 0.5
	}
	if h.SlowStart == 0 {
		h.SlowStart = 10 * time.Second
	}
	if !(h.Spill > 0) {
		h.Spill = 0
	}
	return h
}

// Standing says whether a node is used, and if not, why.
type Standing uint8

const (
	// Healthy nodes get their share.
	Healthy Standing = iota
	// Warming nodes get a growing part of their share (slow start).
	Warming
	// Probing nodes get one call at a time, and come back when that call succeeds.
	Probing
	// Ejected nodes failed too often in a row. They get no call until their time is over.
	Ejected
	// Unreachable nodes are Down, mostly because they have no connection.
	Unreachable
	// Away nodes want no calls: they refused one and asked for a time, or do not serve.
	Away
)

// String returns the standing in one lower-case word.
func (s Standing) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Warming:
		return "warming"
	case Probing:
		return "probing"
	case Ejected:
		return "ejected"
	case Unreachable:
		return "down"
	case Away:
		return "away"
	}
	return "unknown"
}

// standing decides whether a node is used. Group.mu guards it, in its methods, too.
type standing struct {
	state Standing
	hard  bool  // the node is Probing after Unreachable, not after Ejected
	fresh bool  // it is one of the first of the group, and was never out for a fault
	gone  bool  // it is no longer announced
	since int64 // when it got into state
	until int64 // when an Ejected or Unreachable node is probed; 0: only after Up
	well  int64 // when it last came into good standing
	level int   // doublings of the ejection time, plus one
	err   error // why it is out
}

var errFailures = errors.New("consecutive failures")

// good reports whether the node is in good standing. It may be away all the same.
func (s *standing) good() bool { return s.state == Healthy || s.state == Warming }

// Down takes the node out at once, because its connection died or could not be made.
// The node comes back by Up or, unless Health.UpOnly is set, when its time is over.
// Down(nil) means that the node is not connected yet, which is no fault: it waits for Up
// and then needs no probe. Down may be called in Config.New.
func (n *Node) Down(err error) {
	g := n.g
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if err != nil {
		n.noteDown(now, err)
	}
	switch {
	case n.gone:
		return
	case err == nil:
		n.outLocked(Unreachable, nil, now, 0)
	case n.state == Unreachable && n.err != nil:
		n.err = err // a second connection died, or another dial failed: that counts once
	default:
		g.ejectLocked(n, Unreachable, err, now)
	}
	g.changedLocked(now)
}

// Up says that the node is connected again. After a fault, the node gets one call to
// prove itself before it gets its share. Up does nothing if the node is not Down.
func (n *Node) Up() {
	g := n.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.gone || n.state != Unreachable {
		return
	}
	now := g.now()
	if n.err == nil {
		g.restoreLocked(n, now)
	} else {
		n.probeFromLocked(now)
	}
	g.changedLocked(now)
}

func (n *Node) noteDown(now int64, err error) {
	n.meter.mu.Lock()
	n.fault = fault{err, now}
	n.meter.mu.Unlock()
}

// judge is Done in all cases except OK from a node in good standing.
func (n *Node) judge(p Pick, o Outcome, err error) {
	g := n.g
	now := g.now()
	if o != OK {
		n.trouble(now, p.start, o, err)
	} else if p.start != 0 {
		n.success(now, p.start)
	}
	switch o {
	case OK:
		n.fails.Store(0)
	case Failed:
		if p.epoch() == n.epoch.Load() && n.fails.Add(1) >= int32(g.health.Failures) && !g.health.Off && !n.poor.Load() {
			g.failed(n, p, err, now)
		}
	}
	if p.kind() != plain {
		g.tried(n, p, o, err, now)
	}
}

// failed ejects a node for its consecutive failures.
func (g *Group) failed(n *Node, p Pick, err error, now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.gone || !n.good() || p.epoch() != n.epoch.Load() {
		return
	}
	if err == nil {
		err = errFailures
	}
	g.ejectLocked(n, Ejected, err, now)
	g.changedLocked(now)
}

// tried handles the outcome of a call to a node that was not in good standing.
func (g *Group) tried(n *Node, p Pick, o Outcome, err error, now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.kind() == probe {
		n.claim.CompareAndSwap(p.epoch(), 0)
	}
	if n.gone || n.good() {
		return
	}
	switch {
	case (o == OK || o == Refused) && g.health.UpOnly && n.state == Unreachable:
		return // the call used a connection that has been lost since
	case o == OK:
		g.restoreLocked(n, now)
	case o == Canceled || n.state != Probing || p.epoch() != n.epoch.Load():
		return
	case o == Refused: // it answers, so it is well, but too busy for its share
		g.restoreLocked(n, now)
		if !n.away.is() {
			g.leaveLocked(n, g.health.Eject, cmp.Or(err, errRefused), now)
			return
		}
	default:
		if err == nil {
			err = errFailures
		}
		state := Ejected
		if n.hard {
			state = Unreachable
		}
		g.ejectLocked(n, state, err, now)
	}
	g.changedLocked(now)
}

// ejectLocked takes n out for a time that grows from one ejection to the next.
func (g *Group) ejectLocked(n *Node, state Standing, err error, now int64) {
	h := g.health
	if n.good() {
		n.level = max(n.level-int((now-n.well)/int64(h.MaxEject)), 0)
	}
	d := h.Eject
	for i := 0; i < n.level && d < h.MaxEject; i++ {
		d *= 2
	}
	n.level++
	d = min(d, h.MaxEject)
	d += time.Duration(float64(d) * 0.1 * (2*unit(g.draw()) - 1))
	until := now + int64(d)
	if state == Unreachable && h.UpOnly {
		until = 0
	}
	n.outLocked(state, err, now, until)
}

// outLocked changes n to a state in which it is not used.
func (n *Node) outLocked(state Standing, err error, now, until int64) {
	n.state, n.err, n.since, n.until = state, err, now, until
	if state == Unreachable {
		n.away = away{} // another process may answer at the address next
	}
	n.fresh = n.fresh && err == nil
	n.poor.Store(true)
	n.fails.Store(0)
}

// probeFromLocked makes n half open: the next call goes to it, and decides.
func (n *Node) probeFromLocked(now int64) {
	n.hard = n.state == Unreachable
	n.state, n.since, n.until = Probing, now, 0
	n.epoch.Add(oneEpoch)
}

// restoreLocked brings n back into good standing.
func (g *Group) restoreLocked(n *Node, now int64) {
	n.state = Warming
	if n.fresh || g.health.SlowStart < 0 {
		n.state = Healthy
	}
	n.fresh = false
	n.since, n.well, n.until, n.err = now, now, 0, nil
	n.epoch.Add(oneEpoch) // before fails: a failure that is counted just now is reset with fails
	n.fails.Store(0)
	n.poor.Store(false)
}
