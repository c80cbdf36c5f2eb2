package balancer_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestLowerTierOnlyWhenBetterIsUnusable does to nodes whatever can happen to them, and
// compares each pick with what RFC 2782 says.
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
				"shut":   func(*rapid.T) { one().NotServing(nil) },
				"serve":  func(*rapid.T) { one().Serving() },
				"wait": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
					synctest.Wait()
				},
				"done": func(t *rapid.T) {
					for _, p := range open {
						if wait := rapid.IntRange(-5, 5).Draw(t, "refused"); wait > 0 {
							p.DoneRefused(time.Duration(wait)*time.Second, nil)
							continue
						}
						p.Done(rapid.SampledFrom([]balancer.Outcome{balancer.OK, balancer.Failed, balancer.Failed, balancer.Canceled, balancer.Refused}).Draw(t, "outcome"))
					}
					open = nil
				},
				"": func(t *rapid.T) {
					before := g.Nodes()
					p, err := g.Pick(balancer.Want{})
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
					case good > 0 && at.Standing == balancer.Away:
						t.Fatalf("picked a node that wants no calls, but others are well")
					}
					// At most half of the nodes that can be reached are out for their failures.
					reach, out := map[uint16]int{}, map[uint16]int{}
					for _, n := range before {
						if n.Standing != balancer.Unreachable && n.Standing != balancer.Probing && n.Standing != balancer.Away {
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

func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.WeightedRoundRobin}, endpoints(weightsOf(10, false)...))
		for _, n := range g.Nodes() {
			if n.Ramp != 1 || n.Standing != balancer.Healthy {
				t.Errorf("one of the first nodes is %v, ramp %v", n.Standing, n.Ramp)
			}
		}
		eps := endpoints(weightsOf(11, false)...)
		g.Update(eps)
		share := func(addr string) float64 {
			return float64(count(t, g, 10000)[addr]) / 10000 * 11 // 1 is fair
		}
		addr := eps[10].Addr
		last := 0.0
		for i := range 10 {
			got := share(addr)
			if want := 0.1 + 0.1*float64(i); got < want*0.9 || got > want*1.15+0.02 || got < last {
				t.Errorf("after %d s, the new node has %.2f of its share, want about %.1f", i, got, want)
			}
			last = got
			sleep(1112 * time.Millisecond)
			// A further update must not start it again.
			g.Update(append(eps, resolver.Endpoint{Addr: "10.9.9.9:80", Priority: 9}))
			g.Update(eps)
		}
		if got := share(addr); got < 0.99 || got > 1.01 {
			t.Errorf("in the end it has %.2f of its share", got)
		}
	})
}

func TestSlowStartOverloadsNoNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.WeightedRoundRobin}, endpoints(1))
		g.Update(endpoints(weightsOf(10, false)...))
		g.Update(endpoints(1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
		for addr, n := range count(t, g, 10000) {
			if n > 1550 {
				t.Errorf("%s carries %d of 10000 calls, more than half as much again as its share", addr, n)
			}
		}
		// All nodes are new: no other node can take a part of their share.
		all := endpoints(weightsOf(20, false)...)
		g.Update(all[10:])
		for addr, n := range count(t, g, 10000) {
			if n < 950 || n > 1050 {
				t.Errorf("of ten new nodes %s got %d of 10000 calls", addr, n)
			}
		}
	})
}

func TestReturningNodesStartSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.WeightedRoundRobin}, endpoints(weightsOf(10, false)...))
		n := nodesOf(g)[3]
		n.Down(errReset)
		n.Up()
		count(t, g, 1)
		if info := g.Nodes()[3]; info.Standing != balancer.Warming || info.Ramp > 0.11 {
			t.Errorf("came back %v with ramp %v", info.Standing, info.Ramp)
		}
		sleep(10 * time.Second)
		if info := g.Nodes()[3]; info.Standing != balancer.Healthy || info.Ramp != 1 {
			t.Errorf("after its time it is %v with ramp %v", info.Standing, info.Ramp)
		}
	})
}

func TestFailoverGoesDownAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: noSlowStart}, tiers(endpoints(1, 1, 1), 10, 10, 20))
		fail(t, g, 0, 3)
		fail(t, g, 1, 3)
		if got := count(t, g, 50); got["10.0.0.2:80"] != 50 {
			t.Fatalf("with the first tier out, calls go to %v", got)
		}
		sleep(1200 * time.Millisecond)
		got := count(t, g, 50) // the first call is a probe of one, the second of the other
		if got["10.0.0.2:80"] != 0 {
			t.Fatalf("after the probes, calls go to %v", got)
		}
		expectStandings(t, g, balancer.Healthy, balancer.Healthy, balancer.Healthy)
	})
}

func TestSpillIsGradual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eps := tiers(endpoints(weightsOf(14, false)...), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
		for i := range eps[10:] {
			eps[10+i].Priority = 2
		}
		first := func(g *balancer.Group) (n int) {
			for range 10000 {
				p := pick(t, g, balancer.Want{})
				if p.Node().Endpoint().Priority == 1 {
					n++
				}
				p.Done(balancer.OK)
			}
			return n
		}
		g := group(t, balancer.Config{Health: balancer.Health{Spill: 1.4, SlowStart: -1, UpOnly: true}}, eps)
		for down, want := range []int{10000, 10000, 10000, 9800, 8400, 7000} {
			if down > 0 {
				nodesOf(g)[down-1].Down(errReset)
			}
			if got := first(g); got < want-200 || got > want+200 {
				t.Errorf("with %d of 10 down, %d of 10000 calls stay, want %d", down, got, want)
			}
		}
		strict := group(t, balancer.Config{Health: noSlowStart}, eps)
		for _, n := range nodesOf(strict)[:9] {
			n.Down(errReset)
		}
		if got := first(strict); got != 10000 {
			t.Errorf("without Spill, %d of 10000 calls stay, want all", got)
		}
	})
}
