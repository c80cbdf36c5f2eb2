package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

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

func TestSlowStartOverloadsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.WeightedRoundRobin}, endpoints(1))
		g.Update(endpoints(weightsOf(10, false)...))
		g.Update(endpoints(1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
		for addr, n := range count(t, g, 10000) {
			if n > 1550 {
				t.Errorf("%s carries %d of 10000 calls, more than half as much again as its share", addr, n)
			}
		}
		// All new at once: nobody to carry anything for them.
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
