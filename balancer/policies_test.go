package balancer_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestByNameListsTheNames(t *testing.T) {
	for _, name := range balancer.Names() {
		if p, err := balancer.ByName(name); err != nil || p == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := balancer.ByName("fastest")
	if err == nil {
		t.Fatal("unknown name: no error")
	}
	for _, name := range append(balancer.Names(), `"fastest"`) {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestOwnPolicy(t *testing.T) {
	g := group(t, balancer.Config{Policy: func(nodes []*balancer.Node) balancer.Picker { return lastOf(nodes) }}, endpoints(1, 1, 1))
	if got := count(t, g, 10); got["10.0.0.2:80"] != 10 {
		t.Errorf("calls went to %v", got)
	}
}

// lastOf is a policy of one's own: the last node.
type lastOf []*balancer.Node

func (l lastOf) Pick(balancer.Hint) *balancer.Node { return l[len(l)-1] }

func TestP2CAvoidsTheSlowerOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(balancer.Config{}, 3)
		s.group.Update(servers(0, 2))
		s.serve = func(addr string, _ time.Duration) (time.Duration, balancer.Outcome) {
			if addr == "10.0.0.0:80" {
				return s.vary(30 * time.Millisecond), balancer.OK
			}
			return s.vary(10 * time.Millisecond), balancer.OK
		}
		s.load(20, 100*time.Second) // hardly ever two at a time
		s.run()
		if share := float64(s.picks["10.0.0.0:80"]) / float64(s.calls); share > 0.25 {
			t.Errorf("the node three times as slow got %.0f %% of the calls", 100*share)
		}
	})
}

func TestP2CGivesASlowNodeAnotherTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(balancer.Config{}, 3)
		s.group.Update(servers(0, 2))
		s.serve = func(addr string, at time.Duration) (time.Duration, balancer.Outcome) {
			if addr == "10.0.0.0:80" && at < time.Second {
				return 500 * time.Millisecond, balancer.OK // a hiccup
			}
			return s.vary(10 * time.Millisecond), balancer.OK
		}
		s.load(20, 120*time.Second)
		s.run()
		late := 0
		for _, at := range s.pickAt["10.0.0.0:80"] {
			if at > 90*time.Second {
				late++
			}
		}
		if late < 100 {
			t.Errorf("long after its hiccup, a node got %d of about 600 calls", late)
		}
	})
}

func TestCostCountsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{Health: balancer.Health{Off: true}}, endpoints(1, 1))
		quick, slow := nodesOf(g)[0], nodesOf(g)[1]
		for range 50 {
			p := pick(t, g, balancer.Hint{})
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
			p := pick(t, g, balancer.Hint{})
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

func TestBusyNodesAreTimedBySample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{}, endpoints(1))
		n := nodesOf(g)[0]
		count(t, g, 10000) // at once: no time passes in a bubble
		// After a pause, the first picks may go untimed, but soon all are.
		for range 70 {
			p := pick(t, g, balancer.Hint{})
			sleep(20 * time.Millisecond)
			p.Done(balancer.OK)
		}
		for _, took := range []time.Duration{40, 60, 80} {
			for range 2 { // one late answer is no news
				p := pick(t, g, balancer.Hint{})
				sleep(took * time.Millisecond)
				p.Done(balancer.OK)
			}
			if n.Cost() != took*time.Millisecond {
				t.Fatalf("calls of %d ms went unnoticed: cost %v", took, n.Cost())
			}
		}
	})
}

func TestLeastConnTakesTheIdle(t *testing.T) {
	for _, n := range []int{3, 20, 100} {
		g := group(t, balancer.Config{Policy: balancer.LeastConn}, endpoints(weightsOf(n, false)...))
		for range 5 * n {
			pick(t, g, balancer.Hint{})
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
		pick(t, g, balancer.Hint{})
	}
	for _, info := range g.Nodes() {
		if d := info.InFlight - int(info.Endpoint.Weight); d < -1 || d > 1 {
			t.Errorf("weight %d has %d of 100 calls", info.Endpoint.Weight, info.InFlight)
		}
	}
}

// TestLeastConnIsFairBesideBusyNodes: where a node stands in the list does not matter.
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
				pick(t, g, balancer.Hint{Skip: others})
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

func TestHashMovesOnlyTheKeysOfTheNodeThatLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Weights of one power of two at most: see Hash's comment on units.
		top := rapid.SampledFrom([]uint16{0, 1, 10, 100, 60000}).Draw(t, "top")
		n := rapid.IntRange(2, 12).Draw(t, "nodes")
		ws := make([]uint16, n)
		for i := range ws {
			ws[i] = top
			if i > 1 && top > 0 {
				ws[i] = rapid.Uint16Range(0, top).Draw(t, "weight")
			}
		}
		eps := endpoints(ws...)
		g := balancer.NewGroup(balancer.Config{Policy: balancer.Hash(math.Inf(1)), Rand: seeded(1)})
		defer g.Close()
		owner := func() []string {
			out := make([]string, 500)
			for i := range out {
				p, err := g.Pick(balancer.Hint{Key: fmt.Sprint("user/", i)})
				if err != nil {
					t.Fatal(err)
				}
				out[i] = p.Node().Endpoint().Addr
				p.Done(balancer.OK)
			}
			return out
		}
		g.Update(eps)
		before := owner()
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		rest := append(append([]resolver.Endpoint{}, eps[:gone]...), eps[gone+1:]...)
		g.Update(rest)
		for i, now := range owner() {
			if before[i] != eps[gone].Addr && now != before[i] {
				t.Fatalf("key %d moved from %s to %s when %s left; weights %v", i, before[i], now, eps[gone].Addr, ws)
			}
		}
		g.Update(eps)
		if back := owner(); fmt.Sprint(back) != fmt.Sprint(before) {
			t.Fatal("keys did not come back with the node")
		}
	})
}

func TestHashSharesFollowWeights(t *testing.T) {
	g := group(t, balancer.Config{Policy: balancer.Hash(math.Inf(1))}, endpoints(100, 50, 100, 25, 100, 0))
	got := map[string]int{}
	for i := range 20000 {
		p := pick(t, g, balancer.Hint{Key: fmt.Sprint(i)})
		got[p.Node().Endpoint().Addr]++
		p.Done(balancer.OK)
	}
	for _, n := range g.Nodes() {
		if share := float64(got[n.Endpoint.Addr]) / 20000; math.Abs(share-n.Share) > 0.4*n.Share+0.01 {
			t.Errorf("weight %d got %.3f of the keys, want about %.3f", n.Endpoint.Weight, share, n.Share)
		}
	}
}

func TestHashBoundHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.SampledFrom([]float64{1, 1.25, 2}).Draw(t, "bound")
		ws := rapid.SliceOfN(rapid.Uint16Range(0, 100), 1, 10).Draw(t, "weights")
		g := balancer.NewGroup(balancer.Config{Policy: balancer.Hash(bound), Rand: seeded(1)})
		defer g.Close()
		g.Update(endpoints(ws...))
		share := map[*balancer.Node]float64{}
		for _, n := range g.Nodes() {
			share[n.Node] = n.Share
		}
		var open []balancer.Pick
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			if len(open) > 0 && rapid.IntRange(0, 2).Draw(t, "end") == 0 {
				open[0].Done(balancer.OK)
				open = open[1:]
			}
			p, err := g.Pick(balancer.Hint{Key: rapid.SampledFrom([]string{"hot", "warm", "cold", ""}).Draw(t, "key")})
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, p)
			if n := p.Node(); float64(n.InFlight()) > math.Ceil(bound*share[n]*float64(len(open))) {
				t.Fatalf("share %.3f has %d of %d calls in flight, bound %v", share[n], n.InFlight(), len(open), bound)
			}
		}
	})
}

// TestHashBoundIsNotRoundedUp: a share of 88/170 of 17 calls, and a quarter more, are 11.
func TestHashBoundIsNotRoundedUp(t *testing.T) {
	g := group(t, balancer.Config{Policy: balancer.Hash(0)}, endpoints(0, 0, 3, 3, 4, 11))
	for range 17 {
		pick(t, g, balancer.Hint{Key: "hot"})
	}
	if n := nodesOf(g)[5]; n.InFlight() != 11 {
		t.Errorf("%d of 17 calls in flight to the node of weight 11, want 11", n.InFlight())
	}
}

// TestHashBoundHoldsWithinAnotherPolicy: what a policy of one's own makes of a Hash
// picker does not tell what it is, nor need it.
func TestHashBoundHoldsWithinAnotherPolicy(t *testing.T) {
	hash := balancer.Hash(0)
	policy := func(nodes []*balancer.Node) balancer.Picker { return wrapped{hash(nodes)} }
	g := group(t, balancer.Config{Policy: policy}, endpoints(1, 1, 1, 1))
	var open []balancer.Pick
	for i := range 300 {
		h := balancer.Hint{Key: fmt.Sprint(i)}
		if i >= 200 {
			h.Key = "hot"
		}
		open = append(open, pick(t, g, h))
	}
	plain := group(t, balancer.Config{Policy: hash}, endpoints(1, 1, 1, 1)).Nodes()
	for i, n := range nodesOf(g) {
		if most := math.Ceil(1.25 * plain[i].Share * float64(len(open))); float64(n.InFlight()) > most {
			t.Errorf("share %.3f has %d of %d calls in flight, want %v at most", plain[i].Share, n.InFlight(), len(open), most)
		}
	}
	for _, p := range open {
		p.Done(balancer.OK)
	}
}

type wrapped struct{ of balancer.Picker }

func (w wrapped) Pick(h balancer.Hint) *balancer.Node { return w.of.Pick(h) }

func TestSubsetSpreadsWithinOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 60).Draw(t, "nodes")
		size := rapid.IntRange(1, 20).Draw(t, "size")
		clients := rapid.IntRange(1, 100).Draw(t, "clients")
		eps := endpoints(weightsOf(nodes, false)...)
		used := map[string]int{}
		for c := range clients {
			hand := subsetOf(eps, size, fmt.Sprintf("web %d/%d", c, clients))
			if len(hand) != min(size, nodes) {
				t.Fatalf("a client has %d nodes, want %d", len(hand), min(size, nodes))
			}
			for addr := range hand {
				used[addr]++
			}
		}
		least, most := math.MaxInt, 0
		for _, ep := range eps {
			least, most = min(least, used[ep.Addr]), max(most, used[ep.Addr])
		}
		if most-least > 1 {
			t.Fatalf("nodes have between %d and %d clients", least, most)
		}
	})
}

// TestSubsetOfNamedClientsMovesAsLittleAsCanBe: each client that used the node takes
// one other, and nobody else anything.
func TestSubsetOfNamedClientsMovesAsLittleAsCanBe(t *testing.T) {
	const nodes, size, clients = 60, 10, 60
	eps := endpoints(weightsOf(nodes, false)...)
	for gone := 0; gone < nodes; gone += 5 {
		rest := append(append([]resolver.Endpoint{}, eps[:gone]...), eps[gone+1:]...)
		for c := range clients {
			name := fmt.Sprintf("host-%d.example", c)
			before, after := subsetOf(eps, size, name), subsetOf(rest, size, name)
			moved := 0
			for addr := range before {
				if !after[addr] {
					moved++
				}
			}
			want := 0
			if before[eps[gone].Addr] {
				want = 1
			}
			if moved != want {
				t.Fatalf("%s moved %d of its %d nodes when one left, want %d", name, moved, size, want)
			}
		}
	}
}

// subsetOf is the set of nodes that a client picks from.
func subsetOf(eps []resolver.Endpoint, size int, self string) map[string]bool {
	g := balancer.NewGroup(balancer.Config{Policy: balancer.Subset(size, self, balancer.RoundRobin)})
	defer g.Close()
	g.Update(eps)
	out := map[string]bool{}
	for _, n := range g.Nodes() {
		if n.Active {
			out[n.Endpoint.Addr] = true
		}
	}
	return out
}

func TestSubsetPicksFromItsHandOnly(t *testing.T) {
	g := group(t, balancer.Config{Policy: balancer.Subset(3, "web 1/4", balancer.Hash(0))}, endpoints(weightsOf(20, true)...))
	if got := count(t, g, 200); len(got) != 3 {
		t.Errorf("calls went to %d nodes, want 3", len(got))
	}
	g = group(t, balancer.Config{Policy: balancer.Subset(30, "web-1", balancer.RoundRobin)}, endpoints(1, 1))
	if got := count(t, g, 20); len(got) != 2 {
		t.Errorf("with fewer nodes than the subset's size, calls went to %d", len(got))
	}
}

func TestZonePrefersItsOwn(t *testing.T) {
	zoneOf := func(ep resolver.Endpoint) string { return ep.Target }
	eps := endpoints(weightsOf(9, false)...)
	for i := range eps {
		eps[i].Target = string(rune('a' + i%3))
	}
	local := func(g *balancer.Group, n int) (here int) {
		for range n {
			p := pick(t, g, balancer.Hint{})
			if p.Node().Endpoint().Target == "b" {
				here++
			}
		}
		return here
	}
	for _, inner := range []balancer.Policy{balancer.RoundRobin, balancer.P2C, balancer.LeastConn, balancer.Hash(0)} {
		g := group(t, balancer.Config{Policy: balancer.Zone("b", zoneOf, inner)}, eps)
		for _, n := range g.Nodes() {
			if want := n.Endpoint.Target == "b"; n.Active != want || want && math.Abs(n.Share-1./3) > 0.15 {
				t.Errorf("%s in zone %s: active %v, share %v", n.Endpoint.Addr, n.Endpoint.Target, n.Active, n.Share)
			}
		}
		if got := local(g, 15); got != 15 {
			t.Errorf("%d of 15 calls stayed in the zone", got)
		}
		// They are not done: a queue builds up, and some go elsewhere.
		if got := local(g, 300); got > 250 || got < 100 {
			t.Errorf("of 300 more, %d stayed in the zone", got)
		}
		p := pick(t, g, balancer.Hint{Skip: []*balancer.Node{nodesOf(g)[1], nodesOf(g)[4], nodesOf(g)[7]}})
		if p.Node().Endpoint().Target == "b" {
			t.Error("picked a node that was to be skipped")
		}
	}
	g := group(t, balancer.Config{Policy: balancer.Zone("z", zoneOf, balancer.RoundRobin)}, eps)
	if got := count(t, g, 90); len(got) != 9 {
		t.Errorf("without nodes in the zone, calls went to %d, want all 9", len(got))
	}
}

func TestZoneFollowsTargets(t *testing.T) {
	zoneOf := func(ep resolver.Endpoint) string { return ep.Target }
	eps := endpoints(1, 1)
	eps[0].Target, eps[1].Target = "a", "b"
	g := group(t, balancer.Config{Policy: balancer.Zone("a", zoneOf, balancer.RoundRobin)}, eps)
	eps[0].Target, eps[1].Target = "b", "a"
	g.Update(eps)
	if got := count(t, g, 100); got[eps[1].Addr] != 100 {
		t.Errorf("after the nodes changed zones, calls go to %v, want all to %s", got, eps[1].Addr)
	}
}
