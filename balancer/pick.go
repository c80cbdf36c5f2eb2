package balancer

import (
	"errors"
	"slices"
)

// Want is what a call knows that may change the choice. Its zero value is right
// for most calls.
type Want struct {
	// Key keeps calls with the same key on the same node, as far as Hash is the
	// policy; the others ignore it.
	Key string
	// Skip holds the nodes that this call has tried already. They are avoided while
	// any other node can be had, if need be in a lower tier.
	Skip []*Node
}

func (want Want) skips(n *Node) bool { return len(want.Skip) > 0 && slices.Contains(want.Skip, n) }

// Picker chooses among the nodes that it was built from. It is called by many
// goroutines at once, takes no lock, allocates nothing, and counts nothing: what it
// wants to know of a node, the node has measured. It returns nil when every node
// is in want.Skip or it has none.
type Picker interface {
	Pick(want Want) *Node
}

// Policy builds a Picker for nodes, all usable and of one priority, sorted by
// address. It is called at each change of membership, weight, target or health (but
// not of Endpoint.Alt alone, which is no matter for a choice), and must not keep state
// from one call to the next. The slice is the policy's to keep, not
// to change. Use Shares to honour weights as the built-in policies do.
type Policy func(nodes []*Node) Picker

// Outcome is how a call ended, as far as it says something about the node.
type Outcome uint8

const (
	// OK: the node did its work, even if the answer is an error of the application.
	OK Outcome = iota
	// Failed: the node's fault, or it might be: no connection, reset, timeout,
	// an answer that makes no sense.
	Failed
	// Canceled: the caller gave up, or a hedge won. It is no verdict; only the time
	// waited counts, as a lower bound of the latency.
	Canceled
	// Refused: the node answered that it is too busy. It makes the node costly,
	// but does not eject it.
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
	// ErrNoNodes says that no endpoint is announced.
	ErrNoNodes = errors.New("balancer: pick: no nodes")
	// ErrClosed says that the group was closed.
	ErrClosed = errors.New("balancer: pick: group is closed")
)

// Pick is one call's claim on a node: counted in flight until Done. It is a small
// value, to be copied freely, but Done belongs to it once.
type Pick struct {
	n     *Node
	start int64  // nanoseconds since the group's base; 0: not timed
	mark  uint32 // kind, counted and epoch in one: few fields stay in registers
}

// kind says why a node was picked. It is in the lowest bits of a mark.
type kind uint32

const (
	plain kind = iota
	trial      // not in good standing, but there was no better: an OK restores it
	probe      // half-open: the outcome decides

	kindMask = 3
	counted  = kindMask + 1 // a bit: the group counts the call, too, in Group.inFlight
	oneEpoch = counted << 1
)

func (p Pick) kind() kind { return kind(p.mark & kindMask) }

// epoch is the node's, when it was picked. A call that began before the node came back
// says nothing against it: a dozen with long timeouts would eject it again and again.
func (p Pick) epoch() uint32 { return p.mark &^ (oneEpoch - 1) }

// Node returns the node chosen; nil for the zero Pick.
func (p Pick) Node() *Node { return p.n }

// Done tells how the call ended. It must be called exactly once for each
// successful Group.Pick, from any goroutine. The zero Pick's Done does nothing.
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

// DoneErr is Done for callers who know the cause: Group.Nodes shows err as the
// node's last error. It is ignored when o is OK or Canceled.
func (p Pick) DoneErr(o Outcome, err error) {
	if o == OK || p.n == nil {
		p.Done(o)
		return
	}
	p.release()
	p.n.judge(p, o, err)
}

func (p Pick) release() {
	p.n.word.Add(^uint64(0)) // the lower bits: one less in flight
	if p.mark&counted != 0 {
		p.n.g.inFlight.Add(-1)
	}
}
