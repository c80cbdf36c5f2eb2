package cluster

import (
	"testing"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

var _ kv.Aside = (*embedded)(nil)

// leader is the name of the server that leads, as the others see it too; "": there is none.
func (g *group) leader() string {
	name, lead := "", uint64(0)
	for n, e := range g.open {
		s := e.etcd.Server
		if lead != 0 && s.Lead() != lead {
			return ""
		}
		if lead = s.Lead(); lead == uint64(s.MemberID()) {
			name = n
		}
	}
	return name
}

func TestAServerStepsAside(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	await(t, func() bool { return g.leader() != "" })
	first := g.leader()
	for name, e := range g.open {
		if name != first {
			if err := e.StepAside(t.Context()); err != nil || g.leader() != first {
				t.Errorf("%s, which does not lead, stepped aside: %v; now %s leads", name, err, g.leader())
			}
		}
	}
	if err := g.open[first].StepAside(soon(t, patience)); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { l := g.leader(); return l != "" && l != first })
	g.works("a", "b", "c")
}

// TestNoServerToStepAsideFor: alone, or without another that can be reached, a server goes
// on as it is.
func TestNoServerToStepAsideFor(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	if err := g.open["a"].StepAside(soon(t, patience)); err != nil {
		t.Error(err)
	}
	g.works("a")
	if g.leader() != "a" {
		t.Error("the only server does not lead")
	}
}
