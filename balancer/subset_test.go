package balancer_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestSubsetSpreadsWithinOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 60).Draw(t, "nodes")
		size := rapid.IntRange(1, 20).Draw(t, "size")
		clients := rapid.IntRange(1, 100).Draw(t, "clients")
		eps := endpoints(weightsOf(nodes, false)...)
		used := map[string]int{}
		for c := range clients {
			hand := subsetOf(eps, size, fmt.Sprintf("web %d/%d", c, clients))
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

// TestSubsetOfNamedClientsMovesAsLittleAsCanBe: each client that used the node takes
// one other, and nobody else anything.
func TestSubsetOfNamedClientsMovesAsLittleAsCanBe(t *testing.T) {
	const nodes, size, clients = 60, 10, 60
	eps := endpoints(weightsOf(nodes, false)...)
	for gone := 0; gone < nodes; gone += 5 {
		rest := append(append([]resolver.Endpoint{}, eps[:gone]...), eps[gone+1:]...)
		for c := range clients {
			name := fmt.Sprintf("host-%d.example", c)
			before, after := subsetOf(eps, size, name), subsetOf(rest, size, name)
			moved := 0
			for addr := range before {
				if !after[addr] {
					moved++
				}
			}
			want := 0
			if before[eps[gone].Addr] {
				want = 1
			}
			if moved != want {
				t.Fatalf("%s moved %d of its %d nodes when one left, want %d", name, moved, size, want)
			}
		}
	}
}

// subsetOf is the set of nodes that a client picks from.
func subsetOf(eps []resolver.Endpoint, size int, self string) map[string]bool {
	g := balancer.NewGroup(balancer.Config{Policy: balancer.Subset(size, self, balancer.RoundRobin)})
	defer g.Close()
	g.Update(eps)
	out := map[string]bool{}
	for _, n := range g.Nodes() {
		if n.Active {
			out[n.Endpoint.Addr] = true
		}
	}
	return out
}

func TestSubsetPicksFromItsHandOnly(t *testing.T) {
	g := group(t, balancer.Config{Policy: balancer.Subset(3, "web 1/4", balancer.Hash(0))}, endpoints(weightsOf(20, true)...))
	if got := count(t, g, 200); len(got) != 3 {
		t.Errorf("calls went to %d nodes, want 3", len(got))
	}
	g = group(t, balancer.Config{Policy: balancer.Subset(30, "web-1", balancer.RoundRobin)}, endpoints(1, 1))
	if got := count(t, g, 20); len(got) != 2 {
		t.Errorf("with fewer nodes than the subset's size, calls went to %d", len(got))
	}
}
