package balancer

import (
	"cmp"
	"errors"
	"time"
)

const (
	// minAway is the shortest time for which a node that refused a call is left alone. Each
	// begin and end of it makes a new picker, which shorter times are not worth.
	minAway = 10 * time.Millisecond
	// sameAway is the part of a time that is too little to set the timer again: under
	// overload, many calls are refused at almost the same moment.
	sameAway = 8
)

var (
	errRefused    = errors.New("refused a call")
	errNotServing = errors.New("not serving")
)

// away says that a node is well, but wants no calls. Group.mu guards it.
//
// The node itself decides that, and it can be reached. So no probe is needed to bring it
// back, its shares need no slow start, and the rule that failures of too many nodes are
// ignored (Health.MaxEjected) does not apply: a node that refuses protects itself.
type away struct {
	since int64 // 0: it is not away
	until int64 // when a refusal is over; 0: there was none
	shut  bool  // it does not serve, until Serving
	err   error
}

func (a *away) is() bool { return a.since != 0 }

// DoneRefused is DoneErr(Refused, err) for a node that asked to be left alone for a time.
// The node gets no new call in that time while any other node is usable, and then its
// full share at once. The time is lengthened by up to a tenth, so that clients that were
// refused together do not come back together. Zero: the node did not say how long. Then
// only its cost rises.
//
// Nothing bounds wait but its type: the caller decides how much of it to believe.
func (p Pick) DoneRefused(wait time.Duration, err error) {
	if p.n == nil {
		return
	}
	p.release()
	p.n.refused(wait, err)
	p.n.judge(p, Refused, err)
}

// refused leaves the node alone for wait.
func (n *Node) refused(wait time.Duration, err error) {
	if wait <= 0 {
		return
	}
	g := n.g
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if n.gone || n.state == Unreachable {
		return // a call from before the connection was lost
	}
	wait = min(max(wait, minAway), forever)
	if now+int64(wait)-n.away.until <= int64(wait/sameAway) {
		return
	}
	g.leaveLocked(n, wait, cmp.Or(err, errRefused), now)
}

// leaveLocked leaves the node alone for wait, and up to a tenth more.
func (g *Group) leaveLocked(n *Node, wait time.Duration, err error, now int64) {
	n.away.until = now + int64(wait) + int64(float64(wait)*0.1*unit(g.draw()))
	if !n.away.shut {
		n.away.err = err
	}
	g.awayLocked(n, now)
}

// NotServing says that the node answers, but does not serve at present. It gets no new
// call while any other node is usable, until Serving. Its connection is well, so this is
// no fault. Down ends it, too: another process may answer at the address next.
func (n *Node) NotServing(err error) {
	g := n.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.gone || n.away.shut || n.state == Unreachable {
		return
	}
	n.away.shut, n.away.err = true, cmp.Or(err, errNotServing)
	g.awayLocked(n, g.now())
}

// Serving ends NotServing. The node has its full share again, unless it has refused a
// call and asked for a time that is not over.
func (n *Node) Serving() {
	g := n.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.gone || !n.away.shut {
		return
	}
	n.away.shut = false
	now := g.now()
	if n.away.over(now) {
		g.changedLocked(now)
	}
}

// awayLocked makes it known that the node is away, or stays away for longer.
func (g *Group) awayLocked(n *Node, now int64) {
	if n.away.is() {
		g.armLocked(now)
		return
	}
	n.away.since = now
	g.changedLocked(now)
}

// over ends what is over. It reports whether the node is away no longer.
func (a *away) over(now int64) bool {
	if a.until != 0 && a.until <= now {
		a.until = 0
	}
	if !a.is() || a.shut || a.until != 0 {
		return false
	}
	*a = away{}
	return true
}
