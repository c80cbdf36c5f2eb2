package balancer

import (
	"math"
	"math/bits"
)

// LeastConn takes the node with the fewest calls in flight for its weight; of
// equals, one drawn by weight, so that shares follow the weights while nothing
// queues. Where a few drawn ones are not idle, it compares all nodes up to 32, and beyond
// that, 16 neighbours from a random place on: to read a thousand counters costs more than
// it gains.
//
// It cannot tell a slow node from a busy one, and a node that fails at once has
// nothing in flight: see P2C.
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
	queue []float32 // what a call in flight counts: mean weight over weight
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

// search is Pick when the first node drawn is not idle. Some more are drawn, so that idle
// ones share by weight what it leaves. Then nodes are compared, and of equals, chance
// decides: if it were the first met, who stands after a busy node would get the calls of
// both.
func (l *leastConn) search(r uint64, want Want) *Node {
	at := 0
	for range 3 {
		r = r*lcg + golden
		at = l.at(r)
		if n := l.nodes[at]; n.word.Load()&inFlightMask == 0 && !want.skips(n) {
			return n
		}
	}
	// What is compared holds the queue (a float's bits are in its order), then chance, then
	// the place. The least is found by arithmetic: a branch that nobody can foretell costs
	// more, 105 ns instead of 60 for 16 nodes.
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

// placeMask has room for the 32 nodes that are compared at most.
const placeMask = 31

// lcg is the multiplier of a linear congruential generator (Knuth's MMIX): not much as
// chance goes, but next to nothing in time.
const lcg = 6364136223846793005
