package balancer

// Random takes any node, whatever its weight.
func Random(nodes []*Node) Picker {
	if len(nodes) == 0 {
		return none{}
	}
	return &random{nodes: nodes, g: nodes[0].g}
}

type random struct {
	nodes []*Node
	g     *Group
}

func (r *random) Pick(h Hint) *Node {
	at := int(scale(r.g.draw(), uint64(len(r.nodes))))
	if len(h.Skip) > 0 {
		return r.other(at, h)
	}
	return r.nodes[at]
}

// other draws among the nodes that are not to be skipped.
func (r *random) other(at int, h Hint) *Node {
	for range 8 {
		if n := r.nodes[at]; !h.skips(n) {
			return n
		}
		at = int(scale(r.g.draw(), uint64(len(r.nodes))))
	}
	return next(r.nodes, at, h)
}

func (r *random) expect(part float64, out map[*Node]float64) { expectEven(r.nodes, part, out) }
