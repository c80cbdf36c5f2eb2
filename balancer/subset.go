package balancer

import (
	"cmp"
	"slices"
	"strings"
)

// Subset lets this client use only n of the nodes, and leaves the choice among them to
// p. With thousands of clients and nodes, a connection from each client to each node
// would be too many. The subset depends only on name and on the addresses of the
// nodes, so a client that restarts has the same one.
//
// name is the client's own, such as its host name. A client uses the n nodes that rank
// highest in an order made from its name (rendezvous hashing). When a node goes, only
// the clients that used it change anything, and each takes exactly one other node. The
// number of clients is the same for each node on average only: see SubsetOf.
//
// A node that is out for its health is not counted: another one takes its place until
// it is back.
func Subset(n int, name string, p Policy) Policy {
	seed := mix(hashKey(name))
	return subsets(n, p, func(nodes []*Node) []*Node { return rank(nodes, seed)[:n] })
}

// subsets is the policy p for the n nodes that hand returns.
func subsets(n int, p Policy, hand func([]*Node) []*Node) Policy {
	return func(nodes []*Node) Picker {
		if n <= 0 || len(nodes) <= n {
			return p(nodes)
		}
		mine := hand(nodes)
		slices.SortFunc(mine, func(a, b *Node) int {
			return strings.Compare(a.ep.Load().Addr, b.ep.Load().Addr)
		})
		return &subset{Picker: p(mine), nodes: mine}
	}
}

type subset struct {
	Picker
	nodes []*Node
}

func (s *subset) admits(n *Node, want Want) bool {
	return slices.Contains(s.nodes, n) && admits(s.Picker, n, want)
}

func (s *subset) chosen(out map[*Node]bool) { choose(s.Picker, s.nodes, out) }

func (s *subset) expect(part float64, out map[*Node]float64) { expect(s.Picker, s.nodes, part, out) }

// rank sorts nodes by a hash of their address and seed. The result is a copy.
func rank(nodes []*Node, seed uint64) []*Node {
	out := slices.Clone(nodes)
	slices.SortFunc(out, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(mix(a.hash^seed), mix(b.hash^seed)), strings.Compare(a.ep.Load().Addr, b.ep.Load().Addr))
	})
	return out
}
