package balancer

import "slices"

// halfOpen is a node that one call may prove to be well again.
type halfOpen struct {
	node *Node
	with Picker // as it would be with the node in good standing
}

// probesLocked returns the half-open nodes of r that no tier tries anyway.
func (g *Group) probesLocked(r *roll, tiers []*tier) (probes []halfOpen) {
	var with Picker
	for _, n := range r.probing {
		if slices.ContainsFunc(tiers, func(t *tier) bool { return t.trial && slices.Contains(t.nodes, n) }) {
			continue
		}
		if with == nil {
			with = g.policy(merge(r.all, func(n *Node) bool { return n.in() || n.state == Probing }))
		}
		probes = append(probes, halfOpen{n, with})
	}
	return probes
}

// admits tells whether a call may prove the node.
func (p halfOpen) admits(want Want) bool { return !want.skips(p.node) && admits(p.with, p.node, want) }

// admitter is a Picker that keeps some calls away from some nodes whatever their load.
type admitter interface {
	// admits tells whether a call with this want may go to n.
	admits(n *Node, want Want) bool
}

func admits(p Picker, n *Node, want Want) bool {
	a, ok := p.(admitter)
	return !ok || a.admits(n, want)
}
