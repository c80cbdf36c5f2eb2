package balancer_test

import (
	"fmt"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestSubsetOfNamedClientsMovesAsLittleAsCanBe: each client that used the node takes
// one other, and no other client changes anything.
func TestSubsetOfNamedClientsMovesAsLittleAsCanBe(t *testing.T) {
	const nodes, size, clients = 60, 10, 60
	eps := endpoints(weightsOf(nodes, false)...)
	for gone := 0; gone < nodes; gone += 5 {
		rest := append(append([]resolver.Endpoint{}, eps[:gone]...), eps[gone+1:]...)
		for c := range clients {
			name := fmt.Sprintf("host-%d.example", c)
			policy := balancer.Subset(size, name, balancer.RoundRobin)
			before, after := activeOf(eps, policy), activeOf(rest, policy)
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

// activeOf is the set of addresses that a client with the policy picks from.
func activeOf(eps []resolver.Endpoint, policy balancer.Policy) map[string]bool {
	g := balancer.NewGroup(balancer.Config{Policy: policy})
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
	g := group(t, balancer.Config{Policy: balancer.SubsetOf(3, 1, 4, balancer.Hash)}, endpoints(weightsOf(20, true)...))
	if got := count(t, g, 200); len(got) != 3 {
		t.Errorf("calls went to %d nodes, want 3", len(got))
	}
	g = group(t, balancer.Config{Policy: balancer.Subset(30, "web-1", balancer.RoundRobin)}, endpoints(1, 1))
	if got := count(t, g, 20); len(got) != 2 {
		t.Errorf("with fewer nodes than the subset's size, calls went to %d", len(got))
	}
}
