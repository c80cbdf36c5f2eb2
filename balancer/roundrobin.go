package balancer

import (
	"math"
	"math/bits"
)

// RoundRobin takes the nodes in turn, whatever their weight: any N first tries in a row
// hold each of n nodes N/n times, rounded up or down. A retry or hedge, which has nodes
// to skip, takes any other and leaves the turn alone: of two nodes of which one refuses,
// the other would else have all its turns by retries, and each first try be refused.
//
// Cores that do little but pick would wait for each other's turn. They get turns of
// their own, four to eight for each core and 64 at most, until the next change of
// membership: then N picks hold each node N/n times, give or take fewer than there are
// turns. One goroutine sees an exact turn even then, mostly: it is known by its stack, and
// may get another turn when that is moved or much deeper.
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
	// A new picker starts anywhere: if each started at the first node, frequent
	// updates would send it everything.
	r.turn.begin(somewhere(nodes[0].g.draw(), n), step, n)
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

// roundRobin turns a wheel of 2^64 by one n-th at each pick: one atomic instruction,
// and no division to find the node. The step is rounded up, so that every turn
// passes every node; a node is left out once in 2^64/n² picks.
type roundRobin struct {
	nodes []*Node
	turn  turn
}

func (r *roundRobin) Pick(h Hint) *Node {
	if len(h.Skip) > 0 {
		return anyOther(r.nodes, h)
	}
	nodes := r.nodes // loaded before turn's atomic instruction, which lets nothing overtake it
	place, ok := r.turn.try()
	if !ok {
		place = r.turn.again()
	}
	at, _ := bits.Mul64(place, uint64(len(nodes)))
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
