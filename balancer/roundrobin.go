package balancer

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// RoundRobin takes the nodes in turn, whatever their weight.
func RoundRobin(nodes []*Node) Picker {
	n := uint64(len(nodes))
	if n == 0 {
		return none{}
	}
	r := &roundRobin{nodes: nodes, step: math.MaxUint64/n + 1}
	if n == 1 {
		r.step = 0
	}
	// A new picker starts anywhere: if each started at the first node, frequent
	// updates would send it everything.
	r.turn.Store(somewhere(nodes[0].g.draw(), n))
	return r
}

// somewhere is the middle of any of n equal parts of 2^64: as far as can be from the
// next part, so that the rounding of steps does not add up to anything.
func somewhere(random, n uint64) uint64 {
	if n == 1 {
		return 0
	}
	at, _ := bits.Div64(scale(random, n), 0, n)
	return at + math.MaxUint64/n/2
}

// roundRobin turns a wheel of 2^64 by one n-th at each pick: one atomic addition,
// and no division to find the node. The step is rounded up, so that every turn
// passes every node; a node is left out once in 2^64/n² picks.
type roundRobin struct {
	nodes []*Node
	step  uint64
	_     [64]byte // a cache line: turn changes all the time, the rest never
	turn  atomic.Uint64
	_     [56]byte
}

func (r *roundRobin) Pick(h Hint) *Node {
	nodes := r.nodes // loaded before the atomic addition, which lets nothing overtake it
	at, _ := bits.Mul64(r.turn.Add(r.step), uint64(len(nodes)))
	if len(h.Skip) > 0 {
		return next(nodes, int(at), h)
	}
	return nodes[at]
}

// next is the first node from at on that is not to be skipped.
func next(nodes []*Node, at int, h Hint) *Node {
	for i := range nodes {
		if n := nodes[(at+i)%len(nodes)]; !h.skips(n) {
			return n
		}
	}
	return nil
}

// none is the picker of no nodes.
type none struct{}

func (none) Pick(Hint) *Node { return nil }

func (r *roundRobin) expect(part float64, out map[*Node]float64) { expectEven(r.nodes, part, out) }
