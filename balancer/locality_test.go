package balancer_test

import (
	"math"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestLocalityPrefersItsOwn(t *testing.T) {
	rackOf := func(ep resolver.Endpoint) string { return ep.Target }
	eps := endpoints(weightsOf(9, false)...)
	for i := range eps {
		eps[i].Target = string(rune('a' + i%3))
	}
	local := func(g *balancer.Group, n int) (here int) {
		for range n {
			p := pick(t, g, balancer.Want{})
			if p.Node().Endpoint().Target == "b" {
				here++
			}
		}
		return here
	}
	for _, inner := range []balancer.Policy{balancer.RoundRobin, balancer.P2C, balancer.LeastConn, balancer.Hash} {
		g := group(t, balancer.Config{Policy: balancer.Locality("b", rackOf, inner)}, eps)
		for _, n := range g.Nodes() {
			if want := n.Endpoint.Target == "b"; n.Active != want || want && math.Abs(n.Share-1./3) > 0.15 {
				t.Errorf("%s in rack %s: active %v, share %v", n.Endpoint.Addr, n.Endpoint.Target, n.Active, n.Share)
			}
		}
		if got := local(g, 15); got != 15 {
			t.Errorf("%d of 15 calls stayed in the rack", got)
		}
		// They are not done: a queue builds up, and some go elsewhere.
		if got := local(g, 300); got > 250 || got < 100 {
			t.Errorf("of 300 more, %d stayed in the rack", got)
		}
		p := pick(t, g, balancer.Want{Skip: []*balancer.Node{nodesOf(g)[1], nodesOf(g)[4], nodesOf(g)[7]}})
		if p.Node().Endpoint().Target == "b" {
			t.Error("picked a node that was to be skipped")
		}
	}
	g := group(t, balancer.Config{Policy: balancer.Locality("z", rackOf, balancer.RoundRobin)}, eps)
	if got := count(t, g, 90); len(got) != 9 {
		t.Errorf("without nodes in the rack, calls went to %d, want all 9", len(got))
	}
}

func TestLocalityFollowsTargets(t *testing.T) {
	rackOf := func(ep resolver.Endpoint) string { return ep.Target }
	eps := endpoints(1, 1)
	eps[0].Target, eps[1].Target = "a", "b"
	g := group(t, balancer.Config{Policy: balancer.Locality("a", rackOf, balancer.RoundRobin)}, eps)
	eps[0].Target, eps[1].Target = "b", "a"
	g.Update(eps)
	if got := count(t, g, 100); got[eps[1].Addr] != 100 {
		t.Errorf("after the nodes changed racks, calls go to %v, want all to %s", got, eps[1].Addr)
	}
}
