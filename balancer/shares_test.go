package balancer_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"

	"github.com/rollcall-dns/rollcall/balancer"
)

// critical holds the critical values of chi-square at p = 0.001, by degrees of freedom.
var critical = []float64{0, 10.83, 13.82, 16.27, 18.47, 20.52}

func TestSharesFollowWeights(t *testing.T) {
	for _, v := range []struct {
		weights    []uint16
		priorities []uint16
		want       []float64
	}{
		{[]uint16{1, 1}, nil, []float64{1. / 2, 1. / 2}},
		{[]uint16{0, 1, 1}, nil, []float64{0.01, 0.495, 0.495}},
		{[]uint16{0, 0, 0}, nil, []float64{1. / 3, 1. / 3, 1. / 3}},
		{[]uint16{10, 60, 20, 20}, []uint16{0, 0, 0, 1}, []float64{1. / 9, 6. / 9, 2. / 9, 0}},
		{[]uint16{65535, 1}, nil, []float64{65535. / 65536, 1. / 65536}},
		{[]uint16{0, 0, 65535}, nil, []float64{0.5 / 65536, 0.5 / 65536, 65535. / 65536}},
		{[]uint16{0, 0, 300, 100}, nil, []float64{0.5 / 401, 0.5 / 401, 300. / 401, 100. / 401}},
	} {
		for _, name := range []string{"weighted_random", "weighted_round_robin", "p2c", "least_conn"} {
			t.Run(fmt.Sprint(name, v.weights, v.priorities), func(t *testing.T) {
				// In a bubble no time passes, so that all nodes are equally fast.
				synctest.Test(t, func(t *testing.T) {
					policy, err := balancer.ByName(name)
					if err != nil {
						t.Fatal(err)
					}
					g := group(t, balancer.Config{Policy: policy, Rand: seeded(7)}, tiers(endpoints(v.weights...), v.priorities...))
					calls := 1 << 14
					if v.weights[len(v.weights)-1] == 1 && len(v.weights) == 2 && v.weights[0] > 1 {
						calls <<= 3 // otherwise the light node would hardly get a call
					}
					got := count(t, g, calls)
					chi, df := 0.0, -1
					for i, share := range v.want {
						n := float64(got[endpoints(v.weights...)[i].Addr])
						switch want := share * float64(calls); {
						case share == 0:
							if n != 0 {
								t.Errorf("node %d got %v calls, want none", i, n)
							}
						default:
							chi += (n - want) * (n - want) / want
							df++
						}
					}
					if chi > critical[df] {
						t.Errorf("chi-square %.1f > %.1f: got %v of %d, want shares %v", chi, critical[df], got, calls, v.want)
					}
					for i, n := range g.Nodes() {
						if math.Abs(n.Share-v.want[i]) > 1e-9 {
							t.Errorf("NodeInfo.Share of %s is %v, want %v", n.Endpoint.Addr, n.Share, v.want[i])
						}
					}
				})
			})
		}
	}
}

func TestRoundRobinAndRandomIgnoreWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []balancer.Policy{balancer.RoundRobin, balancer.Random} {
			g := group(t, balancer.Config{Policy: p}, endpoints(1, 0, 65535))
			for addr, n := range count(t, g, 30000) {
				if n < 9500 || n > 10500 {
					t.Errorf("%s got %d calls of 30000, want a third", addr, n)
				}
			}
		}
	})
}
