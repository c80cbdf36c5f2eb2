package balancer

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Subset lets a client use only n of the nodes, and leaves the choice among them to
// p: with thousands of clients and nodes, not everybody needs a connection to
// everybody. self names the client; the subset depends on it and on the addresses
// alone, so that it survives a restart. Nothing that keeps no history is both exactly
// even and exactly steady, so there are two ways:
//
// A client with any name of its own, "web-7f9c", takes the nodes that rank highest in
// an order of its own (rendezvous hashing). When a node goes, only clients that used
// it change anything, and each takes exactly one other. The load is even on average.
//
// A client that knows its number among its like, "web 3/20" (or just "3/20"), takes
// the nodes that are dealt to this number. Numbers count from 0: "web 20/20" is a
// plain name, and so is "web 3/20 " with a space at its end. Each node then has
// exactly as many of the 20 clients as any other, or one more. When a node goes, those
// that used it take another, and some of the others exchange one, seldom more. That
// makes 1.7 times as many exchanges as cannot be avoided, on average over 63 random
// sizes (5 to 500 clients, 9 to 1200 nodes, n from 3 to 50 and at most a third of the
// nodes), and 3.7 times at most; 5 times with 1000 nodes, 500 clients and n = 20. All
// must say the same number of clients, since for another one everything is dealt anew.
// When that number times n is more than a million, chance is even enough, and the
// whole counts as a name.
//
// Nodes that are out for their health are not there for the choice: another node
// takes the place of one until it is back.
func Subset(n int, self string, p Policy) Policy {
	stem, number, of := clientNumber(self)
	if n > 0 && of > mostDealt/uint64(n) {
		stem, of = self, 0
	}
	seed := mix(hashKey(stem))
	return func(nodes []*Node) Picker {
		if n <= 0 || len(nodes) <= n {
			return p(nodes)
		}
		mine := rank(nodes, seed)
		if of > 0 {
			mine = deal(mine, seed, n, int(of), int(number))
		}
		mine = mine[:n]
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

func (s *subset) admits(n *Node, h Hint) bool {
	return slices.Contains(s.nodes, n) && admits(s.Picker, n, h)
}

func (s *subset) expect(part float64, out map[*Node]float64) { expect(s.Picker, s.nodes, part, out) }

// clientNumber splits "web 3/20" in what all its like have in common, and its place.
func clientNumber(self string) (stem string, number, of uint64) {
	head, total, ok := cutLast(self, "/")
	if !ok {
		return self, 0, 0
	}
	stem, nr, ok := cutLast(head, " ")
	if !ok {
		stem, nr = "", head
	}
	number, err1 := strconv.ParseUint(nr, 10, 32)
	of, err2 := strconv.ParseUint(total, 10, 32)
	if err1 != nil || err2 != nil || number >= of {
		return self, 0, 0
	}
	return stem, number, of
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// rank sorts nodes by a hash of their address and seed. The result is a copy.
func rank(nodes []*Node, seed uint64) []*Node {
	out := slices.Clone(nodes)
	slices.SortFunc(out, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(mix(a.hash^seed), mix(b.hash^seed)), strings.Compare(a.ep.Load().Addr, b.ep.Load().Addr))
	})
	return out
}
