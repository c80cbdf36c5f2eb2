package balancer_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestProbeIsACallThatTheNodeWouldGet: the probe of a half-open node is a call that the
// policy would send there, not one with the key, subset or locality of another node.
func TestProbeIsACallThatTheNodeWouldGet(t *testing.T) {
	const out = "10.0.0.1:80"
	rack := func(ep resolver.Endpoint) string {
		if ep.Addr < "10.0.0.3" {
			return "here"
		}
		return "there"
	}
	for _, v := range []struct {
		name   string
		policy balancer.Policy
		out    string
		never  bool // gets no probe while others are well
	}{
		{"hash", balancer.Hash, out, false},
		{"hash in a subset", balancer.Subset(5, "me", balancer.Hash), "", false},
		{"subset", balancer.Subset(3, "me", balancer.RoundRobin), "", false},
		{"local", balancer.Locality("here", rack, balancer.RoundRobin), out, false},
		{"remote", balancer.Locality("here", rack, balancer.RoundRobin), "10.0.0.4:80", true},
	} {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := group(t, balancer.Config{Policy: v.policy}, servers(0, 6))
				home := map[string]string{} // of each key, while all are well
				for i := range 200 {
					key := fmt.Sprint(i)
					p := pick(t, g, balancer.Want{Key: key})
					home[key] = p.Node().Endpoint().Addr
					p.Done(balancer.OK)
				}
				if v.out == "" {
					v.out = home["0"] // one of the subset
				}
				for _, n := range g.Nodes() {
					if n.Endpoint.Addr == v.out {
						n.Node.Down(errReset)
						n.Node.Up()
					}
				}
				probes := 0
				for i := range 200 {
					key := fmt.Sprint(i)
					p := pick(t, g, balancer.Want{Key: key})
					if p.Node().Endpoint().Addr == v.out {
						probes++
						if home[key] != v.out && strings.HasPrefix(v.name, "hash") {
							t.Errorf("key %s of %s probed %s", key, home[key], v.out)
						}
						defer p.Done(balancer.Failed)
						continue
					}
					p.Done(balancer.OK)
				}
				want := 1
				if v.never {
					want = 0
				}
				if probes != want {
					t.Errorf("%d probes, want %d", probes, want)
				}
			})
		})
	}
}

// TestProbesKeepOutOfOtherSubsets: a client probes no node that it would not use.
func TestProbesKeepOutOfOtherSubsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.Subset(3, "me", balancer.RoundRobin)}, servers(0, 20))
		mine := count(t, g, 100)
		for _, n := range g.Nodes() {
			if mine[n.Endpoint.Addr] == 0 {
				n.Node.Down(errReset)
				n.Node.Up()
			}
		}
		time.Sleep(time.Second)
		for addr, n := range count(t, g, 100) {
			if mine[addr] == 0 {
				t.Errorf("%s of another subset got %d calls", addr, n)
			}
		}
	})
}

func TestHalfOpenNodeGetsASingleProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: noSlowStart}, endpoints(1, 1))
		fail(t, g, 0, 3)
		sleep(1100 * time.Millisecond)
		expectStandings(t, g, balancer.Probing, balancer.Healthy)
		bad := nodesOf(g)[0]
		probe := pick(t, g, balancer.Want{})
		if probe.Node() != bad {
			t.Fatal("the first call is not the probe")
		}
		for range 20 {
			if p := pick(t, g, balancer.Want{}); p.Node() == bad {
				t.Fatal("a second call while the probe is under way")
			}
		}
		probe.Done(balancer.Canceled) // Canceled decides nothing: the next call is the probe
		probe = pick(t, g, balancer.Want{})
		if probe.Node() != bad {
			t.Fatal("no new probe after one that was given up")
		}
		probe.Done(balancer.OK)
		expectStandings(t, g, balancer.Healthy, balancer.Healthy)
	})
}

// TestProbeFromBeforeDownDoesNotFreeTheNextOne: the node may be half open again while an
// earlier probe is still under way. The end of that one does not allow another probe.
func TestProbeFromBeforeDownDoesNotFreeTheNextOne(t *testing.T) {
	for _, o := range []balancer.Outcome{balancer.Canceled, balancer.Failed} {
		synctest.Test(t, func(t *testing.T) {
			g := group(t, balancer.Config{Policy: balancer.RoundRobin, Health: noSlowStart}, endpoints(1, 1))
			bad := nodesOf(g)[0]
			bad.Down(errReset)
			sleep(1100 * time.Millisecond)
			first := pick(t, g, balancer.Want{})
			bad.Down(errReset)
			sleep(2200 * time.Millisecond)
			second := pick(t, g, balancer.Want{})
			if first.Node() != bad || second.Node() != bad {
				t.Fatal("no probe after each time out")
			}
			first.Done(o)
			expectStandings(t, g, balancer.Probing, balancer.Healthy)
			if p := pick(t, g, balancer.Want{}); p.Node() == bad {
				t.Fatalf("a third call while the second probe is under way, after the first was %v", o)
			}
			second.Done(balancer.OK)
			expectStandings(t, g, balancer.Healthy, balancer.Healthy)
		})
	}
}

func TestProbeIsNotForCallsThatTriedTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{}, endpoints(1, 1))
		bad := nodesOf(g)[0]
		bad.Down(errReset)
		sleep(1100 * time.Millisecond)
		if p := pick(t, g, balancer.Want{Skip: []*balancer.Node{bad}}); p.Node() == bad {
			t.Error("a retry became the probe of the node that it had tried")
		}
	})
}
