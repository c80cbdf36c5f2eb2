package balancer

// LeastConn takes the node with the fewest calls in flight for its weight; of
// equals, one drawn by weight, so that shares follow the weights while nothing
// queues. It compares all nodes up to 32, and beyond that, 16 neighbours from a
// random place on: to read a thousand counters costs more than it gains.
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

func (l *leastConn) Pick(h Hint) *Node {
	r := l.g.draw()
	at := int(scale(r, uint64(len(l.nodes))))
	if l.table != nil {
		at = l.table.draw(r)
	}
	var best *Node
	var least float32
	for i, left := at, l.look; left > 0; left-- {
		n := l.nodes[i]
		q := float32(n.word.Load() & inFlightMask)
		if l.queue != nil {
			q *= l.queue[i]
		}
		if (best == nil || q < least) && !h.skips(n) {
			if best, least = n, q; q == 0 {
				return n
			}
		}
		if i++; i == len(l.nodes) {
			i = 0
		}
	}
	if best == nil {
		return next(l.nodes, at, h)
	}
	return best
}
