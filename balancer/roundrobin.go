package balancer

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// RoundRobin takes the nodes in turn, whatever their weight: any N first tries in a row
// hold each of n nodes N/n times, rounded up or down. A retry or hedge, which has nodes
// to skip, takes any other node and leaves the turn alone. Otherwise, if one of two nodes
// refused its calls, the retries would take all turns of the other, and each first try
// would be refused.
func RoundRobin(nodes []*Node) Picker {
	switch len(nodes) {
	case 0:
		return none{}
	case 1:
		return single{nodes[0]}
	}
	r := &roundRobin{nodes: nodes}
	n := uint64(len(nodes))
	step := math.MaxUint64/n + 1
	// A new picker starts at a random node: if each started at the first one, frequent
	// updates would send all calls to it.
	r.turn.begin(somewhere(nodes[0].g.draw(), n), step)
	return r
}

// turn is a wheel of 2^64 that round robin turns by one step for each pick.
//
// Cores that do nothing but pick wait for each other at this one counter: a pick costs
// 3 ns on one core and 7 ns on two. A call takes thousands of ns, so the counter is not
// split: a single one keeps the order of picks exact.
type turn struct {
	step  uint64
	_     [64]byte // a cache line: above is read by each pick, below is written
	place atomic.Uint64
	_     [56]byte // the rest of its cache line
}

func (t *turn) begin(start, step uint64) {
	t.step = step
	t.place.Store(start)
}

// next turns the wheel by one step and returns its new place.
func (t *turn) next() uint64 { return t.place.Add(t.step) }

// somewhere is the middle of one of n equal parts of 2^64, drawn at random. It is as far
// from the next part as can be, so that rounded steps do not reach that.
func somewhere(random, n uint64) uint64 {
	if n == 1 {
		return 0
	}
	at, _ := bits.Div64(scale(random, n), 0, n)
	return at + math.MaxUint64/n/2
}

// roundRobin turns a wheel of 2^64 by one n-th at each pick. That takes one atomic
// instruction, and no division to find the node. The step is rounded up, so that each
// turn passes each node; a node is left out once in 2^64/n² picks.
type roundRobin struct {
	nodes []*Node
	turn  turn
}

func (r *roundRobin) Pick(want Want) *Node {
	if len(want.Skip) > 0 {
		return anyOther(r.nodes, want)
	}
	nodes := r.nodes // loaded before the atomic instruction, which later loads wait for
	at, _ := bits.Mul64(r.turn.next(), uint64(len(nodes)))
	return nodes[at]
}

// next returns the first node from at on that the call does not skip.
func next(nodes []*Node, at int, want Want) *Node {
	for i := range nodes {
		if n := nodes[(at+i)%len(nodes)]; !want.skips(n) {
			return n
		}
	}
	return nil
}

// none is the picker of no nodes.
type none struct{}

func (none) Pick(Want) *Node { return nil }

func (r *roundRobin) expect(part float64, out map[*Node]float64) { expectEven(r.nodes, part, out) }
