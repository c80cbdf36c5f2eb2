package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestCostCountsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Health: balancer.Health{Off: true}}, endpoints(1, 1))
		quick, slow := nodesOf(g)[0], nodesOf(g)[1]
		for range 50 {
			p := pick(t, g, balancer.Want{})
			if p.Node() == quick {
				sleep(time.Millisecond)
				p.Done(balancer.Refused)
			} else {
				sleep(50 * time.Millisecond)
				p.Done(balancer.OK)
			}
		}
		if quick.Cost() <= 2*slow.Cost() {
			t.Errorf("refusing at once costs %v, working %v", quick.Cost(), slow.Cost())
		}
		if quick.Picks() > 5 {
			t.Errorf("the node that refuses got %d of 50 calls", quick.Picks())
		}
		if standings(g)[0] != balancer.Healthy {
			t.Errorf("refusing made it %v", standings(g)[0])
		}
	})
}

func TestCanceledCallTellsOnlyThatItTookLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{}, endpoints(1))
		n := nodesOf(g)[0]
		done := func(after time.Duration, o balancer.Outcome) {
			p := pick(t, g, balancer.Want{})
			sleep(after)
			p.Done(o)
		}
		done(20*time.Millisecond, balancer.OK)
		done(time.Millisecond, balancer.Canceled)
		if n.Cost() != 20*time.Millisecond {
			t.Errorf("a call given up early made the cost %v", n.Cost())
		}
		for range 10 {
			done(900*time.Millisecond, balancer.Canceled)
		}
		if n.Cost() != 900*time.Millisecond {
			t.Errorf("calls given up late left the cost at %v", n.Cost())
		}
		if info := g.Nodes()[0]; info.Failures != 0 || info.Consecutive != 0 || info.Standing != balancer.Healthy {
			t.Errorf("calls given up counted as failures: %+v", info)
		}
	})
}
