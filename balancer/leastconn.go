package balancer

import (
	"math"
	"math/bits"
)

// LeastConn takes the node with the fewest calls in flight in relation to its weight.
// Among equal nodes it draws one by weight, so that shares follow the weights while no
// call queues. It draws a few nodes and takes the first idle one. If none of them is
// idle, it compares all nodes if there are at most 32, and otherwise 16 neighbours from a
// random place on: reading a thousand counters would cost more than it gains.
//
// It cannot tell a slow node from a busy one, and a node that fails at once has no call
// in flight: see P2C.
func LeastConn(nodes []*Node) Picker {
	if len(nodes) == 0 {
		return none{}
	}
	ws, sum := weights(nodes)
	l := &leastConn{nodes: nodes, g: nodes[0].g, look: len(nodes)}
	if len(nodes) > 32 {
		l.look = 16
	}
	if !even(ws) {
		l.table = newAlias(ws, sum)
		l.queue = make([]float32, len(ws))
		for i, w := range ws {
			l.queue[i] = float32(float64(sum) / float64(w) / float64(len(ws)))
		}
	}
	return l
}

type leastConn struct {
	nodes []*Node
	g     *Group
	look  int
	table alias     // nil: weights are even
	queue []float32 // how much a call in flight counts: mean weight over weight
}

func (l *leastConn) Pick(want Want) *Node {
	r := l.g.draw()
	at := l.at(r)
	if n := l.nodes[at]; n.word.Load()&inFlightMask == 0 && !want.skips(n) {
		return n
	}
	return l.search(r, want)
}

// at maps 64 random bits to an index, by weight.
func (l *leastConn) at(r uint64) int {
	if l.table == nil {
		return int(scale(r, uint64(len(l.nodes))))
	}
	return l.table.draw(r)
}

// search is Pick when the first node drawn is not idle. It draws some more, so that the
// idle nodes share the calls of a busy one by weight. Then it compares nodes, and draws
// among equal ones: if it took the first one it meets, the node after a busy node would
// get the calls of both.
func (l *leastConn) search(r uint64, want Want) *Node {
	at := 0
	for range 3 {
		r = r*lcg + golden
		at = l.at(r)
		if n := l.nodes[at]; n.word.Load()&inFlightMask == 0 && !want.skips(n) {
			return n
		}
	}
	// A rank holds the queue (the bits of a positive float are in its order), then a random
	// number, then the place. The least one is found by arithmetic, since a branch that
	// cannot be predicted costs more: 105 ns instead of 60 for 16 nodes.
	least := uint64(math.MaxUint64)
	i := at
	for k := range uint64(l.look) {
		n := l.nodes[i]
		q := uint32(n.word.Load() & inFlightMask)
		if l.queue != nil {
			q = math.Float32bits(float32(int32(q)) * l.queue[i])
		}
		r = r*lcg + golden
		rank := uint64(q)<<32 | r>>32&^placeMask | k
		if len(want.Skip) > 0 && want.skips(n) {
			rank = math.MaxUint64
		}
		_, less := bits.Sub64(rank, least, 0)
		least ^= (least ^ rank) & -less
		if i++; i == len(l.nodes) {
			i = 0
		}
	}
	if least == math.MaxUint64 {
		return next(l.nodes, at, want)
	}
	return l.nodes[(at+int(least&placeMask))%len(l.nodes)]
}

// placeMask has room for the places of the 32 nodes that are compared at most.
const placeMask = 31

// lcg is the multiplier of a linear congruential generator (Knuth's MMIX): poor random
// numbers, but good enough here and almost free.
const lcg = 6364136223846793005
