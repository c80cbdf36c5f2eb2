package balancer_test

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestSkipIsAvoidedWhileThereIsAnother(t *testing.T) {
	for _, name := range balancer.Names() {
		policy, err := balancer.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		g := group(t, balancer.Config{Policy: policy}, tiers(endpoints(5, 1, 0, 9), 0, 0, 0, 1))
		for range 200 {
			var h balancer.Want
			var order []uint16
			for range 4 {
				p := pick(t, g, h)
				if slices.Contains(h.Skip, p.Node()) {
					t.Fatalf("%s: picked a node again that was tried", name)
				}
				order = append(order, p.Node().Endpoint().Priority)
				h.Skip = append(h.Skip, p.Node())
				p.Done(balancer.OK)
			}
			if !slices.Equal(order, []uint16{0, 0, 0, 1}) {
				t.Fatalf("%s: priorities in order of tries are %v", name, order)
			}
			pick(t, g, h).Done(balancer.OK) // every node was tried: any of them is better than none
		}
	}
}

// TestRetriesDoNotSetTheTurn: one node of n refuses each call, and each refused call is
// retried. Then one first try in n meets that node, and the others share the retries.
func TestRetriesDoNotSetTheTurn(t *testing.T) {
	for _, name := range []string{"round_robin", "weighted_round_robin", "random", "weighted_random", "least_conn"} {
		for n := 2; n <= 5; n++ {
			synctest.Test(t, func(t *testing.T) {
				policy, err := balancer.ByName(name)
				if err != nil {
					t.Fatal(err)
				}
				g := group(t, balancer.Config{Policy: policy}, endpoints(weightsOf(n, false)...))
				bad := nodesOf(g)[0]
				const calls = 6000
				met, others := 0, map[*balancer.Node]int{}
				for range calls {
					p := pick(t, g, balancer.Want{})
					if p.Node() != bad {
						p.Done(balancer.OK)
						continue
					}
					met++
					p.Done(balancer.Refused)
					p = pick(t, g, balancer.Want{Skip: []*balancer.Node{bad}})
					others[p.Node()]++
					p.Done(balancer.OK)
				}
				if off := math.Abs(float64(met*n)/calls - 1); off > 0.1 {
					t.Errorf("%s: %d of %d first tries meet the bad one of %d nodes", name, met, calls, n)
				}
				for _, tries := range others {
					if off := math.Abs(float64(tries*(n-1))/float64(met) - 1); off > 0.2 {
						t.Errorf("%s: a good node of %d gets %d of %d retries", name, n, tries, met)
					}
				}
			})
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, name := range balancer.Names() {
		policy, err := balancer.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, mixed := range []bool{false, true} {
			g := group(t, balancer.Config{Policy: policy}, endpoints(weightsOf(50, mixed)...))
			tried := nodesOf(g)[:2]
			if got := testing.AllocsPerRun(1000, func() {
				p, _ := g.Pick(balancer.Want{Key: "k"})
				p.Done(balancer.OK)
				p, _ = g.Pick(balancer.Want{Skip: tried})
				p.Done(balancer.Canceled)
			}); got != 0 {
				t.Errorf("%s: %v allocations", name, got)
			}
		}
	}
}
