package balancer_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// critical values of chi-square at p = 0.001, by degrees of freedom.
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
						calls <<= 3 // or the light one would hardly ever get its one
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
			n := picker.Pick(balancer.Hint{})
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

// TestLowerTierOnlyWhenBetterIsUnusable tries whatever can happen to nodes, and holds
// each pick against what RFC 2782 says.
func TestLowerTierOnlyWhenBetterIsUnusable(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		inBubble(outer, func() {
			policy, err := balancer.ByName(rapid.SampledFrom(balancer.Names()).Draw(t, "policy"))
			if err != nil {
				t.Fatal(err)
			}
			g := balancer.NewGroup(balancer.Config{Policy: policy, Rand: seeded(rapid.Uint64().Draw(t, "seed"))})
			defer g.Close()
			some := func() (eps []resolver.Endpoint) {
				for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 8, rapid.ID).Draw(t, "nodes") {
					eps = append(eps, resolver.Endpoint{
						Addr: fmt.Sprintf("10.0.0.%d:80", i), Weight: uint16(rapid.IntRange(0, 3).Draw(t, "weight")),
						Priority: uint16(rapid.IntRange(1, 3).Draw(t, "priority")),
					})
				}
				return eps
			}
			g.Update(some())
			var open []balancer.Pick
			one := func() *balancer.Node { return rapid.SampledFrom(nodesOf(g)).Draw(t, "node") }
			t.Repeat(map[string]func(*rapid.T){
				"update": func(*rapid.T) { g.Update(some()) },
				"down":   func(*rapid.T) { one().Down(fmt.Errorf("reset")) },
				"up":     func(*rapid.T) { one().Up() },
				"wait": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
					synctest.Wait()
				},
				"done": func(t *rapid.T) {
					for _, p := range open {
						p.Done(rapid.SampledFrom([]balancer.Outcome{balancer.OK, balancer.Failed, balancer.Failed, balancer.Canceled, balancer.Refused}).Draw(t, "outcome"))
					}
					open = nil
				},
				"": func(t *rapid.T) {
					before := g.Nodes()
					p, err := g.Pick(balancer.Hint{})
					if err != nil {
						t.Fatal(err)
					}
					open = append(open, p)
					best := uint16(math.MaxUint16)
					var at balancer.NodeInfo
					good := 0
					for _, n := range before {
						if n.Standing <= balancer.Warming {
							best = min(best, n.Endpoint.Priority)
							good++
						}
						if n.Node == p.Node() {
							at = n
						}
					}
					switch {
					case at.Node == nil:
						t.Fatalf("picked a node that is not announced: %s", p.Node().Endpoint().Addr)
					case good > 0 && at.Endpoint.Priority > best:
						t.Fatalf("picked priority %d, but %d is usable", at.Endpoint.Priority, best)
					case good > 0 && at.Standing == balancer.Unreachable:
						t.Fatalf("picked a node that is down, but others are not")
					case good > 0 && at.Standing == balancer.Ejected && !at.Panic:
						t.Fatalf("picked an ejected node, but others are well and it is no panic")
					}
					// At most half of those that can be reached are out for their failures.
					reach, out := map[uint16]int{}, map[uint16]int{}
					for _, n := range before {
						if n.Standing != balancer.Unreachable && n.Standing != balancer.Probing {
							reach[n.Endpoint.Priority]++
						}
						if n.Standing == balancer.Ejected && !n.Active {
							out[n.Endpoint.Priority]++
						}
					}
					if good > 0 && 2*out[best] > reach[best] {
						t.Fatalf("%d of %d nodes are ejected", out[best], reach[best])
					}
				},
			})
			for _, p := range open {
				p.Done(balancer.OK)
			}
			for _, n := range g.Nodes() {
				if n.InFlight != 0 {
					t.Fatalf("%d calls in flight, want 0", n.InFlight)
				}
			}
		})
	})
}

func TestSkipIsAvoidedWhileThereIsAnother(t *testing.T) {
	for _, name := range balancer.Names() {
		policy, err := balancer.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		g := group(t, balancer.Config{Policy: policy}, tiers(endpoints(5, 1, 0, 9), 0, 0, 0, 1))
		for range 200 {
			var h balancer.Hint
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
			pick(t, g, h).Done(balancer.OK) // all tried: any is better than none
		}
	}
}

// TestRetriesDoNotSetTheTurn: with one node of n that refuses each call, and each refusal
// retried, one first try in n meets it, and the others share the retries.
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
					p := pick(t, g, balancer.Hint{})
					if p.Node() != bad {
						p.Done(balancer.OK)
						continue
					}
					met++
					p.Done(balancer.Refused)
					p = pick(t, g, balancer.Hint{Skip: []*balancer.Node{bad}})
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
				p, _ := g.Pick(balancer.Hint{Key: "k"})
				p.Done(balancer.OK)
				p, _ = g.Pick(balancer.Hint{Skip: tried})
				p.Done(balancer.Canceled)
			}); got != 0 {
				t.Errorf("%s: %v allocations", name, got)
			}
		}
	}
}

// TestPicksDuringUpdates has the membership change all the time while picks go on: for
// the race detector, and for the counts.
func TestPicksDuringUpdates(t *testing.T) {
	for _, name := range balancer.Names() {
		t.Run(name, func(t *testing.T) {
			policy, err := balancer.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			var born, gone atomic.Int64
			var mu sync.Mutex
			var all []*balancer.Node
			g := balancer.NewGroup(balancer.Config{
				Policy: policy,
				New: func(n *balancer.Node) any {
					born.Add(1)
					mu.Lock()
					defer mu.Unlock()
					all = append(all, n)
					return "value"
				},
				Gone: func(*balancer.Node) { gone.Add(1) },
			})
			eps := endpoints(weightsOf(20, true)...)
			g.Update(eps)
			stop := make(chan struct{})
			var picks atomic.Int64
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						p, err := g.Pick(balancer.Hint{Key: "k"})
						if err != nil {
							t.Error(err)
							return
						}
						if p.Node().Value() != "value" {
							t.Error("picked a node before it had its value")
						}
						n := picks.Add(1)
						if n%16 == 0 {
							runtime.Gosched()
						}
						switch {
						case n%97 == 0:
							p.Node().Down(fmt.Errorf("reset"))
							p.Done(balancer.Failed)
						case n%11 == int64(i):
							p.Done(balancer.Failed)
						default:
							p.Node().Up()
							p.Done(balancer.OK)
						}
					}
				})
			}
			for i := range 1000 {
				for before := picks.Load(); picks.Load() < before+10; {
					runtime.Gosched()
				}
				g.Update(eps[i%10 : 10+i%10])
				if i%7 == 0 {
					g.Nodes()
				}
			}
			close(stop)
			wg.Wait()
			g.Close()
			if born.Load() != gone.Load() {
				t.Errorf("%d nodes made, %d gone", born.Load(), gone.Load())
			}
			for _, n := range all {
				if n.InFlight() != 0 {
					t.Errorf("%s has %d in flight, want 0", n.Endpoint().Addr, n.InFlight())
				}
			}
		})
	}
}
