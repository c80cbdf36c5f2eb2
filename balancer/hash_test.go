package balancer_test

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestHashMovesOnlyTheKeysOfTheNodeThatLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// The greatest weight stays the same: see HashWithin on the unit of weights.
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
		g := balancer.NewGroup(balancer.Config{Policy: balancer.HashWithin(math.Inf(1)), Rand: seeded(1)})
		defer g.Close()
		owner := func() []string {
			out := make([]string, 500)
			for i := range out {
				p, err := g.Pick(balancer.Want{Key: fmt.Sprint("user/", i)})
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
	g := group(t, balancer.Config{Policy: balancer.HashWithin(math.Inf(1))}, endpoints(100, 50, 100, 25, 100, 0))
	got := map[string]int{}
	for i := range 20000 {
		p := pick(t, g, balancer.Want{Key: fmt.Sprint(i)})
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
		g := balancer.NewGroup(balancer.Config{Policy: balancer.HashWithin(bound), Rand: seeded(1)})
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
			p, err := g.Pick(balancer.Want{Key: rapid.SampledFrom([]string{"hot", "warm", "cold", ""}).Draw(t, "key")})
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

// TestHashBoundIsNotRoundedUp: 1.25 times a share of 88/170 of 17 calls is exactly 11.
func TestHashBoundIsNotRoundedUp(t *testing.T) {
	g := group(t, balancer.Config{Policy: balancer.Hash}, endpoints(0, 0, 3, 3, 4, 11))
	for range 17 {
		pick(t, g, balancer.Want{Key: "hot"})
	}
	if n := nodesOf(g)[5]; n.InFlight() != 11 {
		t.Errorf("%d of 17 calls in flight to the node of weight 11, want 11", n.InFlight())
	}
}

// TestHashBoundHoldsWithinAnotherPolicy: a custom policy may wrap the picker of Hash,
// without any method that tells the group so.
func TestHashBoundHoldsWithinAnotherPolicy(t *testing.T) {
	hash := balancer.Hash
	policy := func(nodes []*balancer.Node) balancer.Picker { return wrapped{hash(nodes)} }
	g := group(t, balancer.Config{Policy: policy}, endpoints(1, 1, 1, 1))
	var open []balancer.Pick
	for i := range 300 {
		h := balancer.Want{Key: fmt.Sprint(i)}
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

func (w wrapped) Pick(h balancer.Want) *balancer.Node { return w.of.Pick(h) }

// TestCallsInFlightAreCountedOnce: the bound is a share of the calls in flight of the
// whole group, so that each must be counted once, and until it is done.
func TestCallsInFlightAreCountedOnce(t *testing.T) {
	g := group(t, balancer.Config{Policy: balancer.Hash}, endpoints(1, 1, 1))
	const goroutines, calls = 8, 5000
	var done sync.WaitGroup
	for range goroutines {
		done.Go(func() {
			for range calls {
				p, err := g.Pick(balancer.Want{Key: "k"})
				if err != nil {
					t.Error(err)
					return
				}
				if n := g.Counted(); n < 1 || n > goroutines {
					t.Errorf("%d calls in flight, want 1 to %d", n, goroutines)
				}
				p.Done(balancer.OK)
			}
		})
	}
	done.Wait()
	if n := g.Counted(); n != 0 {
		t.Errorf("%d calls in flight when all are done", n)
	}
}
