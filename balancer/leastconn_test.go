package balancer_test

import (
	"math"
	"slices"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestLeastConnTakesTheIdle(t *testing.T) {
	for _, n := range []int{3, 20, 100} {
		g := group(t, balancer.Config{Policy: balancer.LeastConn}, endpoints(weightsOf(n, false)...))
		for range 5 * n {
			pick(t, g, balancer.Want{})
		}
		least, most := math.MaxInt, 0
		for _, info := range g.Nodes() {
			least, most = min(least, info.InFlight), max(most, info.InFlight)
		}
		if n <= 32 && (least != 5 || most != 5) || most > 7 {
			t.Errorf("%d nodes with 5 calls each have between %d and %d", n, least, most)
		}
	}
	g := group(t, balancer.Config{Policy: balancer.LeastConn}, endpoints(10, 20, 70))
	for range 100 {
		pick(t, g, balancer.Want{})
	}
	for _, info := range g.Nodes() {
		if d := info.InFlight - int(info.Endpoint.Weight); d < -1 || d > 1 {
			t.Errorf("weight %d has %d of 100 calls", info.Endpoint.Weight, info.InFlight)
		}
	}
}

// TestLeastConnIsFairBesideBusyNodes: the place of a node in the list does not matter.
func TestLeastConnIsFairBesideBusyNodes(t *testing.T) {
	for _, v := range []struct {
		weights, busy []uint16 // calls in flight
	}{
		{[]uint16{1, 1, 1, 1, 1}, []uint16{1, 0, 0, 0, 0}},
		{[]uint16{1, 1, 1, 1, 1}, []uint16{2, 1, 2, 2, 1}},
		{weightsOf(8, false), []uint16{3, 3, 3, 1, 1, 3, 3, 1}},
		{weightsOf(12, false), []uint16{1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0}},
		{weightsOf(24, false), append(make([]uint16, 20), 1, 1, 1, 1)},
		{weightsOf(40, false), append(make([]uint16, 35), 1, 1, 1, 1, 1)},
		{[]uint16{10, 20, 70}, []uint16{0, 0, 1}},
	} {
		g := group(t, balancer.Config{Policy: balancer.LeastConn}, endpoints(v.weights...))
		nodes := nodesOf(g)
		least := slices.Min(v.busy)
		sum := 0.0
		for i, n := range nodes {
			var others []*balancer.Node
			others = append(append(others, nodes[:i]...), nodes[i+1:]...)
			for range v.busy[i] {
				pick(t, g, balancer.Want{Skip: others})
			}
			if n.InFlight() != int(v.busy[i]) {
				t.Fatalf("%d calls in flight to node %d, want %d", n.InFlight(), i, v.busy[i])
			}
			if v.busy[i] == least {
				sum += float64(v.weights[i])
			}
		}
		const calls = 20000
		got := count(t, g, calls)
		for i, n := range nodes {
			want := 0.0
			if v.busy[i] == least {
				want = calls * float64(v.weights[i]) / sum
			}
			if off := math.Abs(float64(got[n.Endpoint().Addr]) - want); off > 0.2*want {
				t.Errorf("weights %v, in flight %v: node %d got %d calls, want about %.0f", v.weights, v.busy, i, got[n.Endpoint().Addr], want)
			}
		}
	}
}
