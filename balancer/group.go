package balancer

import (
	"cmp"
	"context"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// Config says how a Group chooses. The zero value means P2C, with health on.
type Config struct {
	// Policy chooses among the usable nodes of a tier. Default P2C.
	Policy Policy
	Health Health
	// New returns the Node.Value of a new node, a connection pool for example. It is
	// called once for each node, before the node is first picked. It may call the
	// node's Down and Up, but no method of the group.
	New func(*Node) any
	// Gone is called with each node whose address is no longer announced. Calls to it
	// may still be in flight, and a Pick that began before may still return it. Close
	// calls Gone with all nodes. It must not call the group.
	Gone func(*Node)
	// Rand is the source of randomness. It must be safe for concurrent use. Default
	// math/rand/v2.Uint64. Tests use a seeded one.
	Rand func() uint64
}

// Group balances calls over the endpoints of one service. Make it with NewGroup.
// All methods are safe for concurrent use; Pick takes no lock.
type Group struct {
	policy Policy
	health Health
	birth  func(*Node) any
	gone   func(*Node)
	rand   func() uint64
	base   time.Time // all times are nanoseconds since base

	snap   atomic.Pointer[snapshot]
	fading atomic.Bool // some node has a cost that may have to fade

	_       [64]byte      // a cache line: calls read what is above, and write what is below
	typical atomic.Uint32 // float32 bits: cost of the node that a typical call goes to, nanoseconds
	_       [64]byte

	counting atomic.Bool  // a picker reads inFlight
	inFlight atomic.Int64 // calls in flight that began since counting was set
	_        [64]byte

	updating sync.Mutex // one Update at a time, with its callbacks

	mu     sync.Mutex // guards all below and the standing of nodes
	nodes  map[string]*Node
	order  []*Node // by priority, then address
	timer  *time.Timer
	due    int64         // when timer fires; 0: it does not
	fadeAt int64         // when costs fade next; 0: no cost is left
	ready  chan struct{} // closed when a node is usable; nil: no Wait is under way
	closed bool
}

// NewGroup returns a group without nodes. Update gives it nodes.
func NewGroup(cfg Config) *Group {
	g := &Group{
		policy: cfg.Policy,
		health: cfg.Health.withDefaults(),
		birth:  cfg.New,
		gone:   cfg.Gone,
		rand:   cfg.Rand,
		// A little earlier than now, because 0 means never.
		base:  time.Now().Add(-1),
		nodes: map[string]*Node{},
	}
	if g.policy == nil {
		g.policy = P2C
	}
	g.snap.Store(&snapshot{err: ErrNoNodes, slow: true})
	return g
}

// Update replaces the endpoints. A node whose address stays keeps all that was
// measured, even when its weight or priority changes. An update without a change does
// nothing. Of endpoints with the same Addr, the first one of the best priority counts.
// After an empty list there is no node to pick: the caller decides whether to believe
// such a list.
func (g *Group) Update(eps []resolver.Endpoint) {
	g.updating.Lock()
	defer g.updating.Unlock()

	eps = slices.Clone(eps)
	slices.SortStableFunc(eps, func(a, b resolver.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Addr, b.Addr))
	})
	// g.nodes is read without mu: only Update changes it, and updating is held.
	order := make([]*Node, 0, len(eps))
	kept := make(map[string]*Node, len(eps))
	var moved []int // indices in eps of known nodes that have changed
	var born []*Node
	first := len(g.nodes) == 0
	for i, ep := range eps {
		if _, twice := kept[ep.Addr]; twice {
			continue
		}
		n := g.nodes[ep.Addr]
		switch {
		case n == nil:
			n = g.node(ep, first)
			born = append(born, n)
		case !same(*n.ep.Load(), ep):
			moved = append(moved, i)
		}
		kept[ep.Addr] = n
		order = append(order, n)
	}
	if len(born) == 0 && len(moved) == 0 && len(kept) == len(g.nodes) {
		return
	}
	if g.isClosed() {
		return
	}
	for _, n := range born {
		if g.birth != nil {
			n.value = g.birth(n)
		}
	}
	for _, n := range g.swap(order, kept, eps, moved) {
		if g.gone != nil {
			g.gone(n)
		}
	}
}

// swap makes kept the nodes of the group, and returns the nodes that are gone.
func (g *Group) swap(order []*Node, kept map[string]*Node, eps []resolver.Endpoint, moved []int) (gone []*Node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, i := range moved {
		ep := eps[i]
		kept[ep.Addr].ep.Store(&ep)
	}
	for _, n := range g.order {
		if kept[n.ep.Load().Addr] != n {
			n.standing.gone = true
			gone = append(gone, n)
		}
	}
	g.nodes, g.order = kept, order
	g.changedLocked(g.now())
	return gone
}

// node makes a node for ep. It starts slowly unless it is one of the first of the group.
func (g *Group) node(ep resolver.Endpoint, first bool) *Node {
	n := &Node{g: g}
	n.ep.Store(&ep)
	h := fnv.New64a()
	h.Write([]byte(ep.Addr))
	n.hash = mix(h.Sum64())
	n.ramp.Store(fullRamp)
	n.since = g.now()
	n.well = n.since
	n.fresh = first
	if !first && g.health.SlowStart > 0 {
		n.state = Warming
	}
	return n
}

// Pick chooses a node for one call, and counts the call in flight until Done. It fails
// only when no endpoint is announced or the group is closed: when all nodes are bad, it
// returns the least bad one.
func (g *Group) Pick(want Want) (Pick, error) {
	s := g.snap.Load()
	if s.slow {
		return g.pickSlow(s, want)
	}
	n := s.picker.Pick(want)
	if n == nil {
		return g.pickSlow(s, want)
	}
	return Pick{n: n, start: n.take(g), mark: n.epoch.Load()}, nil
}

// pickSlow is Pick in all cases but the plain one: see snapshot.slow.
func (g *Group) pickSlow(s *snapshot, want Want) (Pick, error) {
	if s.err != nil {
		return Pick{}, s.err
	}
	p := Pick{}
	for _, half := range s.probes {
		n := half.node
		claim, epoch := n.claim.Load(), n.epoch.Load()
		if claim != epoch && half.admits(want) && n.claim.CompareAndSwap(claim, epoch) {
			p.n, p.mark = n, epoch|uint32(probe)
			break
		}
	}
	if p.n == nil {
		var t *tier
		if p.n, t = s.choose(want, g); p.n == nil {
			// The call has tried every node: any of them is better than none.
			p.n, t = s.choose(Want{Key: want.Key}, g)
		}
		if p.n == nil {
			return Pick{}, ErrNoNodes // a custom picker returned nil although there are nodes
		}
		p.mark = p.n.epoch.Load()
		if t.trial {
			p.mark |= uint32(trial)
		}
	}
	if s.counting {
		g.inFlight.Add(1)
		p.mark |= counted
	}
	p.start = p.n.take(g)
	return p, nil
}

// Wait returns when a node can be expected to work: when it is announced and not Down.
func (g *Group) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		switch s := g.snap.Load(); {
		case g.closed:
			g.mu.Unlock()
			return ErrClosed
		case s.usable:
			g.mu.Unlock()
			return nil
		}
		if g.ready == nil {
			g.ready = make(chan struct{})
		}
		ready := g.ready
		g.mu.Unlock()
		select {
		case <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the group: picks fail, its timer stops, and Config.Gone is called with all
// nodes. Done may still be called for calls in flight.
func (g *Group) Close() {
	g.updating.Lock()
	defer g.updating.Unlock()
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.closed = true
	gone := g.order
	for _, n := range gone {
		n.standing.gone = true
	}
	g.nodes, g.order = nil, nil
	if g.timer != nil {
		g.timer.Stop()
	}
	g.changedLocked(g.now())
	g.mu.Unlock()
	for _, n := range gone {
		if g.gone != nil {
			g.gone(n)
		}
	}
}

func (g *Group) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// now is nanoseconds since the group was made, never 0.
func (g *Group) now() int64 { return int64(time.Since(g.base)) }

func (g *Group) draw() uint64 {
	if g.rand != nil {
		return g.rand()
	}
	return rand.Uint64()
}

// learn updates typical from the cost of the node of a call that has ended. Pickers
// compare with it to tell a bad node from noise. A lost update does no harm.
func (g *Group) learn(cost float32) {
	t := math.Float32frombits(g.typical.Load())
	if t == 0 {
		t = cost
	} else {
		t += (cost - t) / 32
	}
	g.typical.Store(math.Float32bits(t))
}

// same reports whether two endpoints are equal in all fields.
func same(a, b resolver.Endpoint) bool {
	return a.Addr == b.Addr && a.Target == b.Target && a.Priority == b.Priority &&
		a.Weight == b.Weight && slices.Equal(a.Alt, b.Alt)
}

// mix is the finalizer of splitmix64: each bit of x changes half of the result's bits.
// Clients agree by it on hashes and subsets, so that it must not change.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
