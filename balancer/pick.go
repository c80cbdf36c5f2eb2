package balancer

import (
	"errors"
	"slices"
)

// Want says what a call wants of the choice. The zero value is right for most calls.
type Want struct {
	// Key: with the policy Hash, calls with the same key go to the same node. The other
	// policies ignore it.
	Key string
	// Skip holds the nodes that this call has already tried. They are avoided while there
	// is any other node, even in a worse tier.
	Skip []*Node
}

func (want Want) skips(n *Node) bool { return len(want.Skip) > 0 && slices.Contains(want.Skip, n) }

// Picker chooses among the nodes that it was built from. Many goroutines call it at
// once. It takes no lock, allocates nothing, and counts nothing: nodes measure. It
// returns nil when it has no node, or every node is in want.Skip.
type Picker interface {
	Pick(want Want) *Node
}

// Policy builds a Picker for nodes: the usable ones of one priority, sorted by address.
// It is called at each change of membership, weight, target or health, but not when only
// Endpoint.Alt changes. It must not keep state from one call to the next. It may keep
// the slice, but must not change it. Use Shares to honour weights as the built-in
// policies do.
type Policy func(nodes []*Node) Picker

// Outcome is what the end of a call says about the node.
type Outcome uint8

const (
	// OK means that the node did its work, even if the answer is an error of the
	// application.
	OK Outcome = iota
	// Failed means that it is, or may be, the node's fault: no connection, a reset, a
	// timeout, an answer that makes no sense.
	Failed
	// Canceled means that the caller gave up, or that a hedge won. It is no verdict on the
	// node. Only the time waited counts, as a lower bound of the latency.
	Canceled
	// Refused means that the node answered that it will not execute the call, because it
	// is too busy for example. That raises the node's cost, but does not eject it. See
	// DoneRefused.
	Refused
)

// String returns the outcome in one lower-case word.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	case Canceled:
		return "canceled"
	case Refused:
		return "refused"
	}
	return "unknown"
}

var (
	// ErrNoNodes means that no endpoint is announced.
	ErrNoNodes = errors.New("balancer: pick: no nodes")
	// ErrClosed means that the group is closed.
	ErrClosed = errors.New("balancer: pick: group is closed")
)

// Pick is one call's claim on a node, which counts it in flight until Done. It is a
// small value and may be copied, but Done must be called on one copy only.
type Pick struct {
	n     *Node
	start int64  // nanoseconds since the group's base; 0: not timed
	mark  uint32 // kind, counted and epoch in one: few fields stay in registers
}

// kind says why a node was picked. It is in the lowest bits of a mark.
type kind uint32

const (
	plain kind = iota
	trial      // the node is not in good standing, but there was no better: an OK restores it
	probe      // the node is half open: the outcome decides

	kindMask = 3
	counted  = kindMask + 1 // a bit: the group counts the call, too, in Group.inFlight
	oneEpoch = counted << 1
)

func (p Pick) kind() kind { return kind(p.mark & kindMask) }

// epoch is that of the node when it was picked. A call that began before the node came
// back says nothing against it: a dozen calls with long timeouts would otherwise eject it
// again and again.
func (p Pick) epoch() uint32 { return p.mark &^ (oneEpoch - 1) }

// Node returns the chosen node. It is nil for the zero Pick.
func (p Pick) Node() *Node { return p.n }

// Done says how the call ended. It must be called exactly once for each successful
// Group.Pick, from any goroutine. On the zero Pick it does nothing.
func (p Pick) Done(o Outcome) {
	if p.n == nil {
		return
	}
	p.release()
	if o != OK || p.kind() != plain {
		p.n.judge(p, o, nil)
		return
	}
	if p.start != 0 {
		p.n.success(p.n.g.now(), p.start)
	}
	if p.n.fails.Load() != 0 {
		p.n.fails.Store(0)
	}
}

// DoneErr is Done with the cause: Group.Nodes shows err as the node's last error. err is
// ignored when o is OK or Canceled.
func (p Pick) DoneErr(o Outcome, err error) {
	if o == OK || p.n == nil {
		p.Done(o)
		return
	}
	p.release()
	p.n.judge(p, o, err)
}

func (p Pick) release() {
	p.n.word.Add(^uint64(0)) // the lowest bits: one less in flight
	if p.mark&counted != 0 {
		p.n.g.inFlight.Add(-1)
	}
}
