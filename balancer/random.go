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
	_     [32]byte // the rest of a cache line: nothing that changes may share it
}

func (r *random) Pick(want Want) *Node {
	if len(want.Skip) > 0 {
		return anyOther(r.nodes, want)
	}
	return r.nodes[scale(r.g.draw(), uint64(len(r.nodes)))]
}

// anyOther draws among the nodes that are not to be skipped.
func anyOther(nodes []*Node, want Want) *Node {
	at := 0
	for range 8 {
		at = int(scale(nodes[0].g.draw(), uint64(len(nodes))))
		if n := nodes[at]; !want.skips(n) {
			return n
		}
	}
	return next(nodes, at, want)
}

func (r *random) expect(part float64, out map[*Node]float64) { expectEven(r.nodes, part, out) }

// Tests: shares_test.go, pick_test.go.
