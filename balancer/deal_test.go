package balancer_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestSubsetOfNumberedClientsIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addrs := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{1,6}:[1-9]`), 2, 60, rapid.ID).Draw(t, "addresses")
		size := rapid.IntRange(1, len(addrs)-1).Draw(t, "size")
		clients := rapid.IntRange(1, 80).Draw(t, "clients")
		nodes := nodesAt(t, addrs)
		used := map[*balancer.Node]int{}
		for c := range clients {
			policy := balancer.SubsetOf(size, c, clients, balancer.RoundRobin)
			hand := handOf(policy, nodes)
			if len(hand) != size {
				t.Fatalf("client %d has %d nodes, want %d", c, len(hand), size)
			}
			for n := range hand {
				used[n]++
			}
			if c != clients/2 {
				continue
			}
			for n := range handOf(policy, rapid.Permutation(nodes).Draw(t, "order")) {
				if !hand[n] {
					t.Fatalf("client %d has other nodes when they come in another order", c)
				}
			}
		}
		for _, n := range nodes {
			if least := clients * size / len(nodes); used[n] != least && used[n] != least+1 {
				t.Fatalf("%s has %d clients, want %d or one more", n.Endpoint().Addr, used[n], least)
			}
		}
	})
}

// TestSubsetOfNumberedClientsMovesLittle lets nodes leave. The same holds when they come
// back: which nodes a client has depends only on which nodes there are.
func TestSubsetOfNumberedClientsMovesLittle(t *testing.T) {
	for _, v := range []struct {
		clients, size, nodes, leave int
		times                       float64 // moves, divided by the moves that cannot be avoided
	}{
		{5, 3, 50, 1, 1}, // most nodes have none
		{30, 3, 200, 1, 1},
		{20, 3, 10, 1, 1.6},
		{20, 5, 97, 1, 3.7},
		{60, 10, 57, 1, 1.9},
		{60, 20, 60, 1, 2.2},
		{60, 40, 60, 1, 1.8},
		{100, 10, 93, 1, 2.3},
		{100, 10, 93, 3, 1.9},
		{100, 10, 100, 1, 3.3}, // no remainder
		{100, 10, 100, 3, 2.2},
		{200, 10, 40, 1, 1.6},
	} {
		t.Run(fmt.Sprintf("clients=%d/n=%d/nodes=%d/leave=%d", v.clients, v.size, v.nodes, v.leave), func(t *testing.T) {
			policies := make([]balancer.Policy, v.clients)
			for c := range policies {
				policies[c] = balancer.SubsetOf(v.size, c, v.clients, balancer.RoundRobin)
			}
			moves, gone, many := 0, 0, 0
			const sets, leaves = 2, 5
			for set := range sets {
				var addrs []string
				for i := range v.nodes {
					addrs = append(addrs, fmt.Sprintf("10.%d.%d.%d:80", set, i/256, i%256))
				}
				nodes := nodesAt(t, addrs)
				for _, policy := range policies {
					before := handOf(policy, nodes)
					for l := range leaves {
						first := l * (v.nodes / leaves)
						rest := slices.Delete(slices.Clone(nodes), first, first+v.leave)
						after := handOf(policy, rest)
						moved := 0
						for n := range before {
							if !after[n] {
								moved++
							}
						}
						for _, n := range nodes[first : first+v.leave] {
							if before[n] {
								gone++
							}
						}
						moves += moved
						if moved > 2*v.leave {
							many++
						}
					}
				}
			}
			if float64(moves) > v.times*float64(gone) {
				t.Errorf("%d moves, want %.1f times %d at most", moves, v.times, gone)
			}
			if most := v.clients * sets * leaves / 10; many > most {
				t.Errorf("%d times a client exchanged more than %d of its nodes, want %d at most", many, 2*v.leave, most)
			}
		})
	}
}

// TestSubsetOfNumbersThatCannotBeDealtIsASubset: a number out of range, and more clients
// than a deal goes through, still have n nodes each.
func TestSubsetOfNumbersThatCannotBeDealtIsASubset(t *testing.T) {
	nodes := nodesAt(t, []string{"a:1", "b:1", "c:1", "d:1"})
	for _, v := range []struct{ i, of int }{{3, 2_000_000_000}, {-1, 5}, {5, 5}, {0, 0}, {math.MaxInt, math.MaxInt}} {
		hand := handOf(balancer.SubsetOf(2, v.i, v.of, balancer.RoundRobin), nodes)
		byName := handOf(balancer.Subset(2, fmt.Sprintf("%d/%d", v.i, v.of), balancer.RoundRobin), nodes)
		if len(hand) != 2 || !maps.Equal(hand, byName) {
			t.Errorf("client %d of %d has %d nodes, not the 2 that its name has", v.i, v.of, len(hand))
		}
	}
}

// BenchmarkSubsetOf is what each change of membership or health costs a client.
func BenchmarkSubsetOf(b *testing.B) {
	for _, v := range []struct{ nodes, clients, n int }{
		{100, 100, 10},
		{1000, 500, 20},
	} {
		b.Run(fmt.Sprintf("nodes=%d/clients=%d/n=%d", v.nodes, v.clients, v.n), func(b *testing.B) {
			var addrs []string
			for _, ep := range endpoints(weightsOf(v.nodes, false)...) {
				addrs = append(addrs, ep.Addr)
			}
			nodes := nodesAt(b, addrs)
			policy := balancer.SubsetOf(v.n, 3, v.clients, balancer.RoundRobin)
			b.ReportAllocs()
			for b.Loop() {
				policy(nodes)
			}
		})
	}
}

// nodesAt returns nodes with these addresses, to build pickers from.
func nodesAt(t interface{ Cleanup(func()) }, addrs []string) []*balancer.Node {
	g := balancer.NewGroup(balancer.Config{Rand: seeded(1)})
	t.Cleanup(g.Close)
	var eps []resolver.Endpoint
	for _, addr := range addrs {
		eps = append(eps, resolver.Endpoint{Addr: addr})
	}
	g.Update(eps)
	return nodesOf(g)
}

// handOf is the set of the nodes that the policy picks from.
func handOf(policy balancer.Policy, nodes []*balancer.Node) map[*balancer.Node]bool {
	picker := policy(nodes)
	hand := map[*balancer.Node]bool{}
	var skip []*balancer.Node
	for n := picker.Pick(balancer.Want{}); n != nil; n = picker.Pick(balancer.Want{Skip: skip}) {
		skip = append(skip, n)
		hand[n] = true
	}
	return hand
}

func TestSubsetOfSpreadsWithinOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 60).Draw(t, "nodes")
		size := rapid.IntRange(1, 20).Draw(t, "size")
		clients := rapid.IntRange(1, 100).Draw(t, "clients")
		eps := endpoints(weightsOf(nodes, false)...)
		used := map[string]int{}
		for c := range clients {
			hand := activeOf(eps, balancer.SubsetOf(size, c, clients, balancer.RoundRobin))
			if len(hand) != min(size, nodes) {
				t.Fatalf("a client has %d nodes, want %d", len(hand), min(size, nodes))
			}
			for addr := range hand {
				used[addr]++
			}
		}
		least, most := math.MaxInt, 0
		for _, ep := range eps {
			least, most = min(least, used[ep.Addr]), max(most, used[ep.Addr])
		}
		if most-least > 1 {
			t.Fatalf("nodes have between %d and %d clients", least, most)
		}
	})
}
