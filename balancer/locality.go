package balancer

import (
	"slices"

	"github.com/rollcall-dns/rollcall/resolver"
)

// Locality prefers nodes in the caller's own locality, such as a rack or a data
// center, and leaves the choice among them to p. of returns the locality of an
// endpoint, from its target's name or from a table; "" means unknown. A node of
// another locality gets a call only if no local node is left to pick, or if the local
// node that p chose has a queue: more than 8 calls in flight, and more than twice as
// many as the other node, in relation to their weights.
func Locality(own string, of func(resolver.Endpoint) string, p Policy) Policy {
	return func(nodes []*Node) Picker {
		here := merge(nodes, func(n *Node) bool { return own != "" && of(n.Endpoint()) == own })
		if len(here) == 0 || len(here) == len(nodes) {
			return p(nodes)
		}
		there := merge(nodes, func(n *Node) bool { return of(n.Endpoint()) != own })
		return &locality{local: p(here), remote: p(there), here: here, there: there}
	}
}

// overflow is the number of calls in flight up to which a local node is always taken:
// such a queue costs less than the way to another locality.
const overflow = 8

type locality struct {
	local, remote Picker
	here, there   []*Node
}

func (l *locality) Pick(want Want) *Node {
	n := l.local.Pick(want)
	if n == nil {
		return l.remote.Pick(want)
	}
	if q := n.InFlight(); q > overflow {
		if r := l.remote.Pick(want); r != nil && uint64(q)*uint64(max(r.Weight(), 1)) > 2*uint64(r.InFlight())*uint64(max(n.Weight(), 1)) {
			return r
		}
	}
	return n
}

func (l *locality) admits(n *Node, want Want) bool {
	p := l.local
	local := slices.Contains(l.here, n)
	if !local {
		p = l.remote
	}
	return slices.Contains(l.here, l.Pick(want)) == local && admits(p, n, want)
}

func (l *locality) chosen(out map[*Node]bool) {
	choose(l.local, l.here, out)
	choose(l.remote, l.there, out)
}

func (l *locality) expect(part float64, out map[*Node]float64) { expect(l.local, l.here, part, out) }
