package balancer

// Chosen returns the nodes that p could ever give a call to: all of them, except those
// that a Subset leaves out. All nodes must be of one priority, and are taken for usable.
// A client asks it to which nodes it needs connections. The order is that of nodes.
func Chosen(p Policy, nodes []*Node) []*Node {
	if p == nil || len(nodes) == 0 {
		return nodes
	}
	out := make(map[*Node]bool, len(nodes))
	choose(p(nodes), nodes, out)
	return merge(nodes, func(n *Node) bool { return out[n] })
}

// chooser is a Picker that does not pick from all nodes that it was built from.
type chooser interface {
	// chosen adds to out the nodes that it picks from.
	chosen(out map[*Node]bool)
}

func choose(p Picker, nodes []*Node, out map[*Node]bool) {
	if c, ok := p.(chooser); ok {
		c.chosen(out)
		return
	}
	for _, n := range nodes {
		out[n] = true
	}
}
