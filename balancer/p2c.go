package balancer

import (
	"math"
	"time"
)

// P2C draws two nodes in proportion to their weights and takes the one with less
// load: the cost of its calls (see Node.Cost) times one more than those in flight.
// It is the default: it avoids slow nodes, failing nodes and queues, without all
// callers agreeing on the same best node.
//
// Calls in flight count in relation to the weight. So do, while two nodes are much
// alike, the calls that one had more than its share of the two: at most one call, for
// they shall decide between equals and not keep a node busy that is not equal. Without
// that a node of small weight, nearly always idle, would win against busy ones of
// great weight and get twice its share. When even the better node is far slower
// than the typical call, it is drawn against two more: with 2 slow nodes of 16, every
// 120th pair is slow, which is enough to spoil a 99th percentile.
func P2C(nodes []*Node) Picker {
	switch len(nodes) {
	case 0:
		return none{}
	case 1:
		return single{nodes[0]}
	}
	ws, sum := weights(nodes)
	p := &p2c{nodes: nodes, g: nodes[0].g}
	for _, n := range nodes {
		n.settled.Store(n.Picks())
	}
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
	// clearly less load is an eighth less. Latency noise is of that order, while one
	// call more in flight makes more of a difference until there are 8.
	clearly = 1 - 1.0/8
	// alike: costs up to so many times the typical one are no difference.
	alike = 1.25
	// farSlower than the typical call makes a draw a bad one.
	farSlower = 2
	// noise is how much slower a node may look for no reason but the scheduler's: as
	// much more than the typical call is no difference either.
	noise = float32(250 * time.Microsecond)
	// arrears is how many calls, of the lighter one, a node may be owed by another. One
	// that was slow for an hour is not to make up for it.
	arrears = 8
)

type p2c struct {
	nodes []*Node
	g     *Group
	table alias     // nil: weights are even
	queue []float32 // what a call in flight counts: mean weight over weight
}

func (p *p2c) Pick(h Hint) *Node {
	if len(h.Skip) > 0 {
		return p.other(h)
	}
	r := p.g.draw()
	i, j := p.pair(r)
	typical := math.Float32frombits(p.g.typical.Load())
	best := contender{}
	best.meet(p, i, typical)
	best.meet(p, j, typical)
	if best.cost > farSlower*typical+noise && len(p.nodes) > 2 {
		i, j = p.pair(mix(r)) // a new draw costs three times as much
		best.meet(p, i, typical)
		best.meet(p, j, typical)
	}
	return best.node
}

// other is Pick with nodes to skip.
func (p *p2c) other(h Hint) *Node {
	typical := math.Float32frombits(p.g.typical.Load())
	best := contender{}
	last := -1
	for tries, found := 0, 0; tries < 8 && found < 2; tries++ {
		r := p.g.draw()
		i := int(scale(r, uint64(len(p.nodes))))
		if p.table != nil {
			i = p.table.draw(r)
		}
		if i != last && !h.skips(p.nodes[i]) {
			best.meet(p, i, typical)
			last = i
			found++
		}
	}
	if best.node == nil {
		return next(p.nodes, int(scale(p.g.draw(), uint64(len(p.nodes)))), h)
	}
	return best.node
}

// contender is the best node met so far.
type contender struct {
	node  *Node
	cost  float32
	queue float32 // calls in flight, weighted
	call  float32 // what one of its calls adds to queue
	turns float64 // calls since it was level with the others, weighted
}

// meet replaces c by node i if that has clearly less load. A node not measured yet
// costs what the typical call does.
func (c *contender) meet(p *p2c, i int, typical float32) {
	n := p.nodes[i]
	o := contender{node: n, call: 1, cost: max(math.Float32frombits(n.cost.Load()), typical*alike, typical+noise)}
	if p.queue != nil {
		o.call = p.queue[i]
	}
	word := n.word.Load()
	o.queue = float32(word&inFlightMask) * o.call
	o.turns = float64(int64(word>>inFlightBits-n.settled.Load())) * float64(o.call)
	if c.node == nil {
		*c = o
		return
	}
	mine, other := c.queue, o.queue
	if o.cost <= c.cost*alike && c.cost <= o.cost*alike {
		mine += c.lead(&o)
		other += o.lead(c)
	}
	if o.cost*(1+other) < c.cost*(1+mine)*clearly {
		*c = o
	}
}

// lead is what c had more than its share of the two, as far as it counts. Half a call
// of the lighter one is nothing: it cannot have less than a whole one.
func (c *contender) lead(o *contender) float32 {
	lighter := float64(max(c.call, o.call))
	d := c.turns - o.turns - lighter/2
	if d <= 0 {
		return 0
	}
	if d > 2*arrears*lighter { // not each time that it is more
		o.node.settled.Add(uint64(int64((arrears*lighter - d) / float64(o.call))))
	}
	return min(float32(d), c.call)
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
	// One node has nearly all of the weight. Any other will do.
	if j = int(scale(mix(r), n-1)); j >= i {
		j++
	}
	return i, j
}

// single is the picker of one node.
type single struct{ n *Node }

func (s single) Pick(h Hint) *Node {
	if h.skips(s.n) {
		return nil
	}
	return s.n
}
