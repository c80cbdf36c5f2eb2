package balancer_test

import (
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestRoundRobinTakesEachNodeOncePerTurn(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 10, 16, 1000} {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin, Rand: seeded(uint64(n))}, endpoints(weightsOf(n, true)...))
		for turn := range 50 {
			if got := count(t, g, n); len(got) != n {
				t.Fatalf("turn %d of %d nodes met %d", turn, n, len(got))
			}
		}
	}
}
