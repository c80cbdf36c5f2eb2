package balancer

// WeightedRandom draws a node in proportion to its weight: what RFC 2782 describes,
// for a first choice, with the rule for weight 0 that Shares tells of. It costs the
// same for any number of nodes and any weights.
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

// other goes on drawing: that is the share that RFC 2782 gives to the rest, when
// the record chosen before is removed.
func (r *weightedRandom) other(at int, want Want) *Node {
	for range 8 {
		if n := r.nodes[at]; !want.skips(n) {
			return n
		}
		at = r.table.draw(r.g.draw())
	}
	return next(r.nodes, int(scale(r.g.draw(), uint64(len(r.nodes)))), want)
}
