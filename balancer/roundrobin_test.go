package balancer_test

import (
	"sync"
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

// TestConcurrentPicksMissNoTurn: whichever goroutine picks, all picks together hold each
// node as often as one goroutine's would.
func TestConcurrentPicksMissNoTurn(t *testing.T) {
	for _, policy := range []balancer.Policy{balancer.RoundRobin, balancer.WeightedRoundRobin} {
		g := group(t, balancer.Config{Policy: policy}, endpoints(weightsOf(7, false)...))
		const goroutines, picks = 8, 7000
		var mu sync.Mutex
		var done sync.WaitGroup
		got := map[*balancer.Node]int{}
		picker := policy(nodesOf(g))
		for range goroutines {
			done.Go(func() {
				own := map[*balancer.Node]int{}
				for range picks {
					own[picker.Pick(balancer.Want{})]++
				}
				mu.Lock()
				defer mu.Unlock()
				for n, c := range own {
					got[n] += c
				}
			})
		}
		done.Wait()
		for n, c := range got {
			if c != goroutines*picks/7 {
				t.Errorf("%s got %d of %d picks, want %d", n.Endpoint().Addr, c, goroutines*picks, goroutines*picks/7)
			}
		}
	}
}
