package balancer

import (
	"slices"

	"github.com/rollcall-dns/rollcall/resolver"
)

// Zone prefers nodes of the caller's zone, and leaves the choice among them to p.
// of tells the zone of an endpoint, from its target's name or a table, say; "" is
// none. Nodes of other zones get calls when no local one is left to pick, and when
// the local one that p chose has a queue: more than overflow calls in flight, and
// more than twice those, for their weights, of the other node.
func Zone(local string, of func(resolver.Endpoint) string, p Policy) Policy {
	return func(nodes []*Node) Picker {
		here := merge(nodes, func(n *Node) bool { return local != "" && of(n.Endpoint()) == local })
		if len(here) == 0 || len(here) == len(nodes) {
			return p(nodes)
		}
		there := merge(nodes, func(n *Node) bool { return of(n.Endpoint()) != local })
		return &zone{local: p(here), remote: p(there), here: here, there: there}
	}
}

// overflow is how many calls in flight a local node may have before another zone is
// looked at: below that, the way to another zone costs more than the queue.
const overflow = 8

type zone struct {
	local, remote Picker
	here, there   []*Node
}

func (z *zone) Pick(h Hint) *Node {
	n := z.local.Pick(h)
	if n == nil {
		return z.remote.Pick(h)
	}
	if q := n.InFlight(); q > overflow {
		if r := z.remote.Pick(h); r != nil && uint64(q)*uint64(max(r.Weight(), 1)) > 2*uint64(r.InFlight())*uint64(max(n.Weight(), 1)) {
			return r
		}
	}
	return n
}

func (z *zone) admits(n *Node, h Hint) bool {
	p := z.local
	local := slices.Contains(z.here, n)
	if !local {
		p = z.remote
	}
	return slices.Contains(z.here, z.Pick(h)) == local && admits(p, n, h)
}

func (z *zone) expect(part float64, out map[*Node]float64) { expect(z.local, z.here, part, out) }
