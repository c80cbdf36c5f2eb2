package balancer

// WeightedRandom draws a node in proportion to its weight, as RFC 2782 describes for a
// first choice. For weight 0 see Shares. It costs the same for any number of nodes and
// any weights.
func WeightedRandom(nodes []*Node) Picker {
	if len(nodes) == 0 {
		return none{}
	}
	return &weightedRandom{nodes: nodes, table: newAlias(weights(nodes)), g: nodes[0].g}
}

type weightedRandom struct {
	nodes []*Node
	table alias
	g     *Group
}

func (r *weightedRandom) Pick(want Want) *Node {
	at := r.table.draw(r.g.draw())
	if len(want.Skip) > 0 {
		return r.other(at, want)
	}
	return r.nodes[at]
}

// other draws until it finds a node that the call does not skip. That gives each node
// the share that RFC 2782 gives it when the records chosen before are removed.
func (r *weightedRandom) other(at int, want Want) *Node {
	for range 8 {
		if n := r.nodes[at]; !want.skips(n) {
			return n
		}
		at = r.table.draw(r.g.draw())
	}
	return next(r.nodes, int(scale(r.g.draw(), uint64(len(r.nodes)))), want)
}

// Tests: shares_test.go.
