package balancer

import "slices"

// halfOpen is a node that waits for one call to show whether it is well again.
type halfOpen struct {
	node *Node
	with Picker // what the picker would be with the node in good standing
}

// probesLocked returns the half-open nodes of r that no tier picks from anyway.
func (g *Group) probesLocked(r *roll, tiers []*tier) (probes []halfOpen) {
	var with Picker
	for _, n := range r.probing {
		if slices.ContainsFunc(tiers, func(t *tier) bool { return t.trial && slices.Contains(t.nodes, n) }) {
			continue
		}
		if with == nil {
			with = g.policy(merge(r.all, func(n *Node) bool { return n.in() || n.probing() }))
		}
		probes = append(probes, halfOpen{n, with})
	}
	return probes
}

// admits reports whether a call may probe the node.
func (p halfOpen) admits(want Want) bool { return !want.skips(p.node) && admits(p.with, p.node, want) }

// admitter is a Picker that keeps some calls away from some nodes, whatever the load.
type admitter interface {
	// admits reports whether a call with this want may go to n.
	admits(n *Node, want Want) bool
}

func admits(p Picker, n *Node, want Want) bool {
	a, ok := p.(admitter)
	return !ok || a.admits(n, want)
}
