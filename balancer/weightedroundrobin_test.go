package balancer_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestWeightedRoundRobinIsExactAndSmooth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := rapid.SliceOfN(rapid.OneOf(rapid.Uint16Range(1, 5), rapid.Uint16Range(1, 300)), 1, 20).Draw(t, "weights")
		g := balancer.NewGroup(balancer.Config{Policy: balancer.WeightedRoundRobin, Rand: seeded(rapid.Uint64().Draw(t, "seed"))})
		defer g.Close()
		g.Update(endpoints(ws...))
		sum, div := 0, 0
		for _, w := range ws {
			sum += int(w)
			for a := int(w); a != 0; {
				div, a = a, div%a
			}
		}
		sum /= div
		nodes := nodesOf(g)
		picker := balancer.WeightedRoundRobin(nodes)
		seen, last, gap := map[*balancer.Node]int{}, map[*balancer.Node]int{}, map[*balancer.Node]int{}
		for i := range 3 * sum {
			n := picker.Pick(balancer.Want{})
			seen[n]++
			if at, ok := last[n]; ok {
				gap[n] = max(gap[n], i-at)
			}
			last[n] = i
			if (i+1)%sum == 0 {
				for _, n := range nodes {
					w := int(n.Endpoint().Weight)
					if want := (i + 1) / sum * w / div; seen[n] != want {
						t.Fatalf("after %d picks, weight %d of %v got %d, want %d", i+1, w, ws, seen[n], want)
					}
				}
			}
		}
		for _, n := range nodes {
			if w := int(n.Endpoint().Weight) / div; 2*gap[n]*w > 5*sum {
				t.Fatalf("weights %v: weight %d of %d waits %d picks", ws, w, sum, gap[n])
			}
		}
	})
}
