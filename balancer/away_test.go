package balancer_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

var errBusy = errors.New("too busy")

// refuse makes the next call to node i be refused.
func refuse(t *testing.T, g *balancer.Group, i int, wait time.Duration) {
	t.Helper()
	node := nodesOf(g)[i]
	for range 1000 {
		p := pick(t, g, balancer.Want{})
		if p.Node() == node {
			p.DoneRefused(wait, errBusy)
			return
		}
		p.Done(balancer.OK)
	}
	t.Fatalf("node %d gets no calls", i)
}

func TestNodeThatRefusedIsLeftAloneForAsLongAsItAsked(t *testing.T) {
	for _, name := range balancer.Names() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := named(t, name)
				g := group(t, cfg, endpoints(1, 1, 1))
				first := nodesOf(g)[0].Endpoint().Addr
				if name == "hash" { // all calls without a key have one home
					for addr := range count(t, g, 1) {
						first = addr
					}
				}
				at := 0
				for i, n := range nodesOf(g) {
					if n.Endpoint().Addr == first {
						at = i
					}
				}
				refuse(t, g, at, 2*time.Second)
				info := g.Nodes()[at]
				if info.Standing != balancer.Away || info.Active || info.Share != 0 || !errors.Is(info.Reason, errBusy) {
					t.Errorf("a node that refused is %+v", info)
				}
				if info.Consecutive != 0 || info.Ejections != 0 || info.Failures != 1 || info.Refusals != 1 {
					t.Errorf("a refusal counted as %d in a row, %d ejections, %d failures, %d refusals", info.Consecutive, info.Ejections, info.Failures, info.Refusals)
				}
				left := time.Until(info.Until)
				if left < 2*time.Second || left > 2200*time.Millisecond {
					t.Errorf("it is left alone for %v, want 2s and up to a tenth more", left)
				}
				sleep(left - 1)
				if got := count(t, g, 300); got[first] != 0 {
					t.Errorf("it got %d calls before its time was over", got[first])
				}
				sleep(1)
				if info := g.Nodes()[at]; info.Standing != balancer.Healthy || info.Ramp != 1 || info.Reason != nil {
					t.Errorf("after its time it is %+v, want healthy and without a slow start", info)
				}
				if name == "p2c" {
					return // leaves it for a while longer by its cost
				}
				if got := count(t, g, 300); got[first] < 60 {
					t.Errorf("after its time it got %d of 300 calls", got[first])
				}
			})
		})
	}
}

func TestLongestRefusalCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1))
		calls := []balancer.Pick{pick(t, g, balancer.Want{}), pick(t, g, balancer.Want{}), pick(t, g, balancer.Want{}), pick(t, g, balancer.Want{})}
		left := func() time.Duration { return time.Until(g.Nodes()[0].Until) }
		calls[0].DoneRefused(time.Second, errBusy)
		calls[1].DoneRefused(10*time.Second, errBusy)
		if left() < 10*time.Second {
			t.Errorf("left alone for %v, asked for 10s", left())
		}
		long := left()
		calls[2].DoneRefused(time.Second, errBusy)
		if left() != long {
			t.Errorf("a shorter time changed %v to %v", long, left())
		}
		calls[3].DoneRefused(0, errBusy)
		if left() != long {
			t.Errorf("a refusal without a time changed %v to %v", long, left())
		}
		sleep(long)
		expectStandings(t, g, balancer.Healthy)
	})
}

// TestRefusalWithoutATimeOnlyCosts: the node said nothing about later calls.
func TestRefusalWithoutATimeOnlyCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{}, endpoints(1, 1))
		refuse(t, g, 0, 0)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		if cost := g.Nodes()[0].Cost; cost < time.Second/10 {
			t.Errorf("the cost of the node that refused is %v", cost)
		}
		if got := count(t, g, 100); got["10.0.0.0:80"] > 2 {
			t.Errorf("the node that refused got %d of the next 100 calls", got["10.0.0.0:80"])
		}
	})
}

// TestRefusalsNeverEject: however many calls a node refuses, and however many nodes do.
func TestRefusalsNeverEject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1, 1, 1, 1))
		for i := range 3 {
			refuse(t, g, i, time.Minute)
		}
		if got := count(t, g, 100); got["10.0.0.3:80"] != 100 {
			t.Errorf("calls go to %v, although one node refuses none", got)
		}
		refuse(t, g, 3, time.Minute)
		for range 400 {
			pick(t, g, balancer.Want{}).DoneRefused(time.Minute, errBusy)
		}
		for _, n := range g.Nodes() {
			if n.Standing != balancer.Away || !n.Active || n.Panic || n.Picks < 100 || n.Ejections != 0 || n.Consecutive != 0 {
				t.Errorf("when all refuse, %s: %+v", n.Endpoint.Addr, n)
			}
		}
		sleep(67 * time.Second)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy, balancer.Healthy, balancer.Healthy)
	})
}

func TestWhenAllOfATierRefuseTheNextTierIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{}, tiers(endpoints(1, 1, 1), 0, 0, 1))
		refuse(t, g, 0, time.Second)
		refuse(t, g, 1, time.Second)
		if got := count(t, g, 50); got["10.0.0.2:80"] != 50 {
			t.Errorf("calls went to %v", got)
		}
		sleep(1100 * time.Millisecond)
		if got := count(t, g, 50); got["10.0.0.2:80"] != 0 {
			t.Errorf("when the time was over, calls went to %v", got)
		}
	})
}

// TestRefusedProbe: a node that refuses its probe answers, so it is not out for longer.
func TestRefusedProbe(t *testing.T) {
	for name, done := range map[string]func(balancer.Pick){
		"with a time":    func(p balancer.Pick) { p.DoneRefused(time.Second, errBusy) },
		"without a time": func(p balancer.Pick) { p.DoneErr(balancer.Refused, errBusy) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := group(t, balancer.Config{Health: balancer.Health{UpOnly: true, SlowStart: -1}}, endpoints(1, 1))
				bad := nodesOf(g)[0]
				bad.Down(errReset)
				bad.Up()
				p := pick(t, g, balancer.Want{})
				if p.Node() != bad {
					t.Fatal("no probe")
				}
				done(p)
				expectStandings(t, g, balancer.Away, balancer.Healthy)
				sleep(1100 * time.Millisecond)
				expectStandings(t, g, balancer.Healthy, balancer.Healthy)
			})
		})
	}
}

func TestNodeThatDoesNotServeGetsNoCallsUntilItSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1, 1, 1, 1))
		for _, n := range nodesOf(g)[:3] {
			n.NotServing(errBusy)
		}
		sleep(time.Hour)
		if got := count(t, g, 50); got["10.0.0.3:80"] != 50 {
			t.Errorf("calls went to %v", got)
		}
		if info := g.Nodes()[0]; info.Standing != balancer.Away || !info.Until.IsZero() || info.Reason != errBusy || time.Since(info.Since) != time.Hour {
			t.Errorf("a node that does not serve is %+v", info)
		}
		nodesOf(g)[3].NotServing(nil)
		if got := count(t, g, 40); len(got) != 4 {
			t.Errorf("when none serves, calls went to %v", got)
		}
		nodesOf(g)[1].Serving()
		if got := count(t, g, 50); got["10.0.0.1:80"] != 50 {
			t.Errorf("when one serves, calls went to %v", got)
		}
	})
}

func TestServingDoesNotEndTheTimeOfARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1, 1))
		node := nodesOf(g)[0]
		refuse(t, g, 0, time.Second)
		node.Serving() // an answer to a ping
		expectStandings(t, g, balancer.Away, balancer.Healthy)
		node.NotServing(nil)
		sleep(2 * time.Second)
		expectStandings(t, g, balancer.Away, balancer.Healthy)
		node.Serving()
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
	})
}

// TestLostConnectionEndsWhatTheNodeSaid: another process may answer at the address next.
func TestLostConnectionEndsWhatTheNodeSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: balancer.Health{UpOnly: true, SlowStart: -1}}, endpoints(1, 1))
		node := nodesOf(g)[0]
		var late balancer.Pick
		for late.Node() != node {
			late = pick(t, g, balancer.Want{})
		}
		refuse(t, g, 0, time.Minute)
		node.NotServing(nil)
		node.Down(errReset)
		expectStandings(t, g, balancer.Unreachable, balancer.Healthy)
		node.NotServing(nil)
		late.DoneRefused(time.Minute, nil)
		expectStandings(t, g, balancer.Unreachable, balancer.Healthy)
		node.Up()
		expectStandings(t, g, balancer.Probing, balancer.Healthy)
		pick(t, g, balancer.Want{}).Done(balancer.OK)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
	})
}
