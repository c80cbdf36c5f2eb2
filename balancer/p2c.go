package balancer

import "math"

// P2C draws two nodes in proportion to their weights and takes the one with less
// load: the cost of its calls (see Node.Cost) times one more than those in flight.
// It is the default: it avoids slow nodes, failing nodes and queues, without all
// callers agreeing on the same best node.
//
// Calls in flight count in relation to the weight. The first of the two is kept
// unless the other has clearly less load, so that shares follow the weights while
// the nodes are much alike. When even the better one is far slower than the typical
// call, it is drawn against two more: with 2 slow nodes of 16, every 120th pair is
// slow, which is enough to spoil a 99th percentile.
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
	// clearly less load is an eighth less. Latency noise is of that order, while one
	// call more in flight makes more of a difference until there are 8.
	clearly = 1 - 1.0/8
	// farSlower than the typical call makes a draw a bad one.
	farSlower = 2
)

type p2c struct {
	nodes []*Node
	g     *Group
	table alias     // nil: weights are even
	queue []float32 // what a call in flight counts: mean weight over weight
}

func (p *p2c) Pick(h Hint) *Node {
	if p.table != nil || len(h.Skip) > 0 {
		return p.weighted(h)
	}
	i, j := p.two(p.g.draw())
	typical := math.Float32frombits(p.g.typical.Load())
	a, b := p.nodes[i], p.nodes[j]
	loadA, costA := a.load(1, typical)
	loadB, costB := b.load(1, typical)
	if loadB < loadA*clearly {
		a, loadA, costA = b, loadB, costB
	}
	if costA > farSlower*typical && len(p.nodes) > 2 {
		i, j = p.two(p.g.draw())
		for _, n := range [...]*Node{p.nodes[i], p.nodes[j]} {
			if l, _ := n.load(1, typical); l < loadA*clearly {
				a, loadA = n, l
			}
		}
	}
	return a
}

// two maps 64 random bits to two different indexes.
func (p *p2c) two(r uint64) (i, j int) {
	n := uint64(len(p.nodes))
	i = int(r >> 32 * n >> 32)
	j = int(r & math.MaxUint32 * (n - 1) >> 32)
	if j >= i {
		j++
	}
	return i, j
}

// load is what one more call would meet. A node not measured yet costs what the
// typical call does.
func (n *Node) load(queue, typical float32) (load, cost float32) {
	cost = math.Float32frombits(n.cost.Load())
	if cost == 0 {
		cost = max(typical, 1)
	}
	return cost * (1 + queue*float32(n.word.Load()&inFlightMask)), cost
}

// weighted is Pick with weights, or with nodes to skip.
func (p *p2c) weighted(h Hint) *Node {
	typical := math.Float32frombits(p.g.typical.Load())
	var best *Node
	var bestLoad, bestCost float32
	last := -1
	for found, tries := 0, 0; found < 2 && tries < 8 || best != nil && found < 4 && tries < 8 && bestCost > farSlower*typical; tries++ {
		i := p.one()
		n := p.nodes[i]
		if i == last || h.skips(n) {
			continue // without replacement
		}
		last = i
		found++
		if l, c := n.load(p.queueOf(i), typical); best == nil || l < bestLoad*clearly {
			best, bestLoad, bestCost = n, l, c
		}
	}
	if best == nil {
		return next(p.nodes, int(scale(p.g.draw(), uint64(len(p.nodes)))), h)
	}
	return best
}

func (p *p2c) one() int {
	if p.table != nil {
		return p.table.draw(p.g.draw())
	}
	return int(scale(p.g.draw(), uint64(len(p.nodes))))
}

func (p *p2c) queueOf(i int) float32 {
	if p.queue == nil {
		return 1
	}
	return p.queue[i]
}

// single is the picker of one node.
type single struct{ n *Node }

func (s single) Pick(h Hint) *Node {
	if h.skips(s.n) {
		return nil
	}
	return s.n
}
