package balancer

import (
	"math"
	"time"
)

// P2C draws two nodes in proportion to their weights and takes the one with less load:
// the cost of its calls (see Node.Cost) times one more than its calls in flight. It is
// the default policy. It avoids slow nodes, failing nodes and queues, and does not let
// all callers agree on the same best node.
//
// Calls in flight count in relation to the weight. While two nodes are much alike, the
// calls that one of them had beyond its share count like calls in flight, but at most as
// one call: they decide between equal nodes only. Otherwise a node of small weight,
// which is nearly always idle, would win against busy nodes of great weight and get
// twice its share.
//
// When even the better node is far slower than the typical call, two more nodes are
// drawn: with 2 slow nodes of 16, every 120th pair is slow, which is enough to spoil a
// 99th percentile.
func P2C(nodes []*Node) Picker {
	switch len(nodes) {
	case 0:
		return none{}
	case 1:
		return single{nodes[0]}
	}
	ws, sum := weights(nodes)
	p := &p2c{nodes: nodes, g: nodes[0].g}
	if even(ws) {
		return p
	}
	p.table = newAlias(ws, sum)
	p.queue = make([]float32, len(ws))
	for i, w := range ws {
		p.queue[i] = float32(float64(sum) / float64(w) / float64(len(ws)))
	}
	return p
}

const (
	// clearly less load is an eighth less. Latency noise is about that much. One more call
	// in flight makes a greater difference, up to 8 calls.
	clearly = 1 - 1.0/8
	// alike is how many times the typical cost a cost may be and still count as equal.
	alike = 1.25
	// farSlower is how many times the typical cost a node may cost before more nodes are
	// drawn.
	farSlower = 2
	// noise is how much slower a node may look because of the scheduler alone: so much
	// more than the typical cost counts as equal, too.
	noise = float32(250 * time.Microsecond)
	// arrears is how many calls, of the lighter of two nodes, a node may be behind the
	// other: after an hour in which it was slow it must not catch up. A greater difference
	// is cut to arrears only when it reaches twice as much, and not at each call.
	arrears = 8
)

type p2c struct {
	nodes []*Node
	g     *Group
	table alias     // nil: weights are even
	queue []float32 // how much a call in flight counts: mean weight over weight
}

func (p *p2c) Pick(want Want) *Node {
	if len(want.Skip) > 0 {
		return p.other(want)
	}
	r := p.g.draw()
	typical := math.Float32frombits(p.g.typical.Load())
	i, j := p.pair(r)
	i = p.better(i, j, typical)
	if n := p.nodes[i]; math.Float32frombits(n.cost.Load()) <= farSlower*typical+noise || len(p.nodes) == 2 {
		return n
	}
	j, k := p.pair(mix(r)) // a new draw costs three times as much
	return p.nodes[p.better(p.better(i, j, typical), k, typical)]
}

// other is Pick with nodes to skip.
func (p *p2c) other(want Want) *Node {
	typical := math.Float32frombits(p.g.typical.Load())
	best := -1
	for tries, found := 0, 0; tries < 8 && found < 2; tries++ {
		r := p.g.draw()
		i := int(scale(r, uint64(len(p.nodes))))
		if p.table != nil {
			i = p.table.draw(r)
		}
		if i == best || want.skips(p.nodes[i]) {
			continue
		}
		if found++; found == 1 {
			best = i
		} else {
			best = p.better(best, i, typical)
		}
	}
	if best < 0 {
		return next(p.nodes, int(scale(p.g.draw(), uint64(len(p.nodes)))), want)
	}
	return p.nodes[best]
}

// better returns i, or j if that has clearly less load. A node that was not measured yet
// has the typical cost.
func (p *p2c) better(i, j int, typical float32) int {
	a, b := p.nodes[i], p.nodes[j]
	least := max(typical*alike, typical+noise)
	costA := max(math.Float32frombits(a.cost.Load()), least)
	costB := max(math.Float32frombits(b.cost.Load()), least)
	callA, callB := float32(1), float32(1)
	if p.queue != nil {
		callA, callB = p.queue[i], p.queue[j]
	}
	wordA, wordB := a.word.Load(), b.word.Load()
	loadA := 1 + float32(wordA&inFlightMask)*callA
	loadB := 1 + float32(wordB&inFlightMask)*callB
	if costA <= costB*alike && costB <= costA*alike {
		turnsA := float64(int64(wordA>>inFlightBits-a.settled.Load())) * float64(callA)
		turnsB := float64(int64(wordB>>inFlightBits-b.settled.Load())) * float64(callB)
		lead, lighter := float32(turnsA-turnsB), max(callA, callB)
		// Half a call of the lighter node does not count: calls are whole.
		loadA += min(max(lead-lighter/2, 0), callA)
		loadB += min(max(-lead-lighter/2, 0), callB)
		switch {
		case lead > 2*arrears*lighter:
			b.settled.Add(uint64(int64((arrears*lighter - lead) / callB)))
		case -lead > 2*arrears*lighter:
			a.settled.Add(uint64(int64((arrears*lighter + lead) / callA)))
		}
	}
	best := i
	if costB*loadB < costA*loadA*clearly {
		best = j
	}
	return best
}

// pair maps 64 random bits to two different indexes, each drawn by weight.
func (p *p2c) pair(r uint64) (i, j int) {
	n := uint64(len(p.nodes))
	if p.table == nil {
		i = int(r >> 32 * n >> 32)
		j = int(r & math.MaxUint32 * (n - 1) >> 32)
		if j >= i {
			j++
		}
		return i, j
	}
	i = p.table.draw(r)
	for range 4 {
		r = mix(r)
		if j = p.table.draw(r); j != i {
			return i, j
		}
	}
	// One node has nearly all of the weight: take any other.
	if j = int(scale(mix(r), n-1)); j >= i {
		j++
	}
	return i, j
}

// single is the picker of one node.
type single struct{ n *Node }

func (s single) Pick(want Want) *Node {
	if want.skips(s.n) {
		return nil
	}
	return s.n
}
