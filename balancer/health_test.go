package balancer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

var errReset = errors.New("connection reset")

// noSlowStart makes shares even again at once.
var noSlowStart = balancer.Health{SlowStart: -1}

// fail makes calls to node i fail, n times in a row.
func fail(t *testing.T, g *balancer.Group, i, n int) {
	t.Helper()
	node := nodesOf(g)[i]
	for tries := 0; n > 0; tries++ {
		if tries > 10000 {
			t.Fatalf("node %d gets no calls", i)
		}
		p := pick(t, g, balancer.Want{})
		if p.Node() == node {
			p.DoneErr(balancer.Failed, errReset)
			n--
		} else {
			p.Done(balancer.OK)
		}
	}
}

func standings(g *balancer.Group) (out []balancer.Standing) {
	for _, n := range g.Nodes() {
		out = append(out, n.Standing)
	}
	return out
}

func expectStandings(t *testing.T, g *balancer.Group, want ...balancer.Standing) {
	t.Helper()
	if got := standings(g); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("standings are %v, want %v", got, want)
	}
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestConsecutiveFailuresEjectOneOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1, 1))
		fail(t, g, 0, 2)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		p := pick(t, g, balancer.Want{})
		for p.Node() != nodesOf(g)[0] {
			p.Done(balancer.OK)
			p = pick(t, g, balancer.Want{})
		}
		p.Done(balancer.OK) // a success between failures: they are not in a row
		fail(t, g, 0, 2)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		fail(t, g, 0, 1)
		expectStandings(t, g, balancer.Ejected, balancer.Healthy)
		if got := count(t, g, 100); got["10.0.0.0:80"] != 0 {
			t.Errorf("the ejected node got %d calls", got["10.0.0.0:80"])
		}
		info := g.Nodes()[0]
		if !errors.Is(info.Reason, errReset) || !errors.Is(info.LastError, errReset) || info.Failures != 5 || info.Ejections != 1 || info.Active || info.Share != 0 {
			t.Errorf("NodeInfo does not tell: %+v", info)
		}
		if left := time.Until(info.Until); left < 900*time.Millisecond || left > 1100*time.Millisecond {
			t.Errorf("ejected for %v, want about 1s", left)
		}
		if info.LastErrorAt.IsZero() || time.Since(info.LastErrorAt) > time.Second {
			t.Errorf("last error at %v", info.LastErrorAt)
		}
	})
}

// TestCallsFromBeforeAnEjectionDoNotEjectAgain: such calls may time out long after the
// node is back.
func TestCallsFromBeforeAnEjectionDoNotEjectAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: noSlowStart}, endpoints(1, 1))
		bad := nodesOf(g)[0]
		var old []balancer.Pick
		for len(old) < 20 {
			if p := pick(t, g, balancer.Want{}); p.Node() == bad {
				old = append(old, p)
			} else {
				p.Done(balancer.OK)
			}
		}
		for _, p := range old[:3] {
			p.Done(balancer.Failed)
		}
		expectStandings(t, g, balancer.Ejected, balancer.Healthy)
		sleep(1100 * time.Millisecond)
		count(t, g, 1)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		for _, p := range old[3:] {
			p.Done(balancer.Failed)
		}
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		info := g.Nodes()[0]
		if info.Consecutive != 0 || info.Ejections != 1 {
			t.Errorf("%d failures in a row and %d ejections, want 0 and 1", info.Consecutive, info.Ejections)
		}
		if info.Failures != 20 || info.Cost < time.Second {
			t.Errorf("%d failures and a cost of %v: the old calls were slow all the same", info.Failures, info.Cost)
		}
		fail(t, g, 0, 3) // new ones count
		expectStandings(t, g, balancer.Ejected, balancer.Healthy)
	})
}

func TestEjectionTimeGrowsAndDecays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Health: balancer.Health{SlowStart: -1, Eject: time.Second, MaxEject: 10 * time.Second}}, endpoints(1, 1))
		bad := nodesOf(g)[0]
		out := func() time.Duration { return time.Until(g.Nodes()[0].Until) }
		near := func(want time.Duration) {
			t.Helper()
			if got := out(); got < want*9/10 || got > want*11/10 {
				t.Fatalf("out for %v, want %v within a tenth", got, want)
			}
		}
		bad.Down(errReset)
		for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
			near(want * time.Second)
			sleep(out())
			p := pick(t, g, balancer.Want{})
			if p.Node() != bad {
				t.Fatal("no probe")
			}
			p.Done(balancer.Failed)
		}
		sleep(out())
		pick(t, g, balancer.Want{}).Done(balancer.OK)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		sleep(55 * time.Second) // five times MaxEject takes five doublings back
		bad.Down(errReset)
		near(4 * time.Second)
		sleep(out())
		pick(t, g, balancer.Want{}).Done(balancer.OK)
		sleep(time.Hour)
		bad.Down(errReset)
		near(time.Second)
	})
}

func TestDownEjectsAtOnceAndUpNeedsAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Health: balancer.Health{UpOnly: true, SlowStart: -1}}, endpoints(1, 1))
		bad := nodesOf(g)[0]
		bad.Down(errReset)
		expectStandings(t, g, balancer.Unreachable, balancer.Healthy)
		sleep(time.Hour)
		expectStandings(t, g, balancer.Unreachable, balancer.Healthy) // time alone does not bring it back
		bad.Up()
		expectStandings(t, g, balancer.Probing, balancer.Healthy)
		p := pick(t, g, balancer.Want{})
		if p.Node() != bad {
			t.Fatal("no probe")
		}
		p.Done(balancer.OK)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		bad.Up() // changes nothing
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
	})
}

func TestNodesThatStartUnconnectedWaitForUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{New: func(n *balancer.Node) any { n.Down(nil); return nil }}, endpoints(1, 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait with nothing connected: %v", err)
		}
		ready := make(chan error)
		go func() { ready <- g.Wait(t.Context()) }()
		synctest.Wait()
		first := nodesOf(g)[0]
		first.Up()
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
		expectStandings(t, g, balancer.Healthy, balancer.Unreachable) // no probe, no slow start
		if got := count(t, g, 10); got[first.Endpoint().Addr] != 10 {
			t.Errorf("calls went to %v", got)
		}
	})
}

func TestFailuresOfMoreThanHalfAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1, 1, 1, 1))
		fail(t, g, 0, 3)
		fail(t, g, 1, 3)
		if got := count(t, g, 100); len(got) != 2 {
			t.Fatalf("with half ejected, calls go to %v", got)
		}
		fail(t, g, 2, 3)
		for range 100 {
			pick(t, g, balancer.Want{}).Done(balancer.Canceled) // another outcome would bring nodes back
		}
		for i, n := range g.Nodes() {
			if n.Picks < 20 || !n.Active || n.Panic != (i < 3) {
				t.Errorf("in panic, %s: %d picks, active %v, panic %v", n.Endpoint.Addr, n.Picks, n.Active, n.Panic)
			}
		}
		// An OK brings a node back like a probe does, until at most half are out.
		count(t, g, 100)
		out := 0
		for _, n := range g.Nodes() {
			if n.Panic {
				t.Errorf("%s is still in panic", n.Endpoint.Addr)
			}
			if n.Standing == balancer.Ejected {
				out++
			}
		}
		if out != 2 {
			t.Errorf("%d nodes are left ejected, want 2 of 4", out)
		}
	})
}

func TestTheOnlyNodeIsNeverGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, take := range []func(*balancer.Group){
			func(g *balancer.Group) { fail(t, g, 0, 10) },
			func(g *balancer.Group) { nodesOf(g)[0].Down(errReset) },
			func(g *balancer.Group) { nodesOf(g)[0].Down(nil) },
		} {
			g := group(t, balancer.Config{}, endpoints(1))
			take(g)
			for range 10 {
				pick(t, g, balancer.Want{}).Done(balancer.Failed)
			}
			pick(t, g, balancer.Want{}).Done(balancer.OK)
			if s := standings(g)[0]; s > balancer.Warming {
				t.Errorf("%v after an OK", s)
			}
		}
	})
}

func TestDownNodesAreOutHoweverMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin}, endpoints(1, 1, 1, 1))
		for _, n := range nodesOf(g)[:3] {
			n.Down(errReset)
		}
		if got := count(t, g, 50); got["10.0.0.3:80"] != 50 {
			t.Errorf("calls went to %v: a dead connection is a fact, not a verdict", got)
		}
	})
}

func TestHealthOffLeavesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: balancer.Health{Off: true}}, endpoints(1, 1))
		fail(t, g, 0, 20)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		nodesOf(g)[0].Down(errReset)
		expectStandings(t, g, balancer.Unreachable, balancer.Healthy)
	})
}

// TestLateSuccessDoesNotBringBackANodeThatIsDown: with UpOnly, only Up says that there
// is a connection.
func TestLateSuccessDoesNotBringBackANodeThatIsDown(t *testing.T) {
	g := group(t, balancer.Config{Health: balancer.Health{UpOnly: true}}, endpoints(1, 1))
	n := nodesOf(g)[0]
	n.Down(errors.New("reset"))
	n.Up()
	probe := pick(t, g, balancer.Want{Skip: nodesOf(g)[1:]})
	if probe.Node() != n {
		t.Fatal("the half-open node got no probe")
	}
	n.Down(errors.New("reset"))
	probe.Done(balancer.OK)
	if s := g.Nodes()[0].Standing; s != balancer.Unreachable {
		t.Errorf("the node is %v", s)
	}
	n.Up()
	pick(t, g, balancer.Want{Skip: nodesOf(g)[1:]}).Done(balancer.OK)
	if s := g.Nodes()[0].Standing; s > balancer.Warming {
		t.Errorf("after a probe of its own it is %v", s)
	}
}

// The greatest numbers mean "never" and "for ever", and not their overflow.
func TestGreatestNumbersOfHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, failures := range []int{math.MaxInt32, math.MaxInt} {
			g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: balancer.Health{Failures: failures}}, endpoints(1, 1))
			fail(t, g, 0, 100)
			expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		}
		for _, eject := range []time.Duration{1, math.MaxInt64} {
			g := group(t, balancer.Config{Health: balancer.Health{Eject: eject, MaxEject: math.MaxInt64}}, endpoints(1, 1))
			for range 100 {
				nodesOf(g)[0].Down(errReset)
				nodesOf(g)[0].Up()
			}
			nodesOf(g)[0].Down(errReset)
			sleep(30 * 365 * 24 * time.Hour)
			expectStandings(t, g, balancer.Unreachable, balancer.Healthy)
		}
	})
}
