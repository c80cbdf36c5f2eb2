package balancer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rollcall-dns/rollcall/resolver"
)

func TestChosenIsWhatAPolicyMayPick(t *testing.T) {
	var eps []resolver.Endpoint
	for i := range 20 {
		eps = append(eps, resolver.Endpoint{Addr: fmt.Sprintf("10.0.0.%02d:80", i), Target: "a.dc" + fmt.Sprint(i%2), Weight: uint16(i % 3)})
	}
	dc := func(ep resolver.Endpoint) string { return ep.Target }
	for name, c := range map[string]struct {
		policy Policy
		want   int
	}{
		"default":              {nil, 20},
		"p2c":                  {P2C, 20},
		"hash":                 {HashWithin(1.25), 20},
		"subset":               {Subset(3, "web-1", P2C), 3},
		"numbered subset":      {SubsetOf(3, 2, 9, RoundRobin), 3},
		"locality":             {Locality("a.dc0", dc, P2C), 20}, // the other one takes what is too much
		"locality of a subset": {Locality("a.dc0", dc, Subset(2, "web-1", P2C)), 4},
		"subset of a locality": {Subset(5, "web-1", Locality("a.dc0", dc, P2C)), 5},
		"custom":               {func(nodes []*Node) Picker { return P2C(nodes) }, 20},
	} {
		g := NewGroup(Config{Policy: c.policy})
		g.Update(eps)
		var nodes []*Node
		for _, i := range g.Nodes() {
			nodes = append(nodes, i.Node)
		}
		chosen := Chosen(c.policy, nodes)
		if len(chosen) != c.want {
			t.Errorf("%s: %d chosen, want %d", name, len(chosen), c.want)
		}
		for range 500 {
			p, err := g.Pick(Want{Key: fmt.Sprint(len(nodes))})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(chosen, p.Node()) {
				t.Fatalf("%s: picked %s, which is not among the chosen", name, p.Node().Endpoint().Addr)
			}
			p.Done(OK)
		}
		g.Close()
	}
}
