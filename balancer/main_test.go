package balancer_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seeded is a Config.Rand that returns the same numbers each time.
func seeded(seed uint64) func() uint64 {
	src := rand.NewPCG(seed, seed)
	var mu sync.Mutex
	return func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return src.Uint64()
	}
}

// group makes a group of these endpoints.
func group(t testing.TB, cfg balancer.Config, eps []resolver.Endpoint) *balancer.Group {
	t.Helper()
	if cfg.Rand == nil {
		cfg.Rand = seeded(1)
	}
	g := balancer.NewGroup(cfg)
	t.Cleanup(g.Close)
	g.Update(eps)
	return g
}

func pick(t testing.TB, g *balancer.Group, h balancer.Want) balancer.Pick {
	t.Helper()
	p, err := g.Pick(h)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// count makes n calls, one after the other, and returns how many each node got.
func count(t testing.TB, g *balancer.Group, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		p := pick(t, g, balancer.Want{})
		got[p.Node().Endpoint().Addr]++
		p.Done(balancer.OK)
	}
	return got
}

// nodesOf returns the nodes in order of priority and address.
func nodesOf(g *balancer.Group) []*balancer.Node {
	var out []*balancer.Node
	for _, n := range g.Nodes() {
		out = append(out, n.Node)
	}
	return out
}

// tiers sets the priorities of eps, in order.
func tiers(eps []resolver.Endpoint, priorities ...uint16) []resolver.Endpoint {
	for i, p := range priorities {
		eps[i].Priority = p
	}
	return eps
}

// inBubble runs f in fake time. It passes panics on, since rapid reports failures by them.
func inBubble(t *testing.T, f func()) {
	var out any
	synctest.Test(t, func(*testing.T) {
		defer func() { out = recover() }()
		f()
	})
	if out != nil {
		panic(out)
	}
}
