package balancer_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
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

func TestCustomPolicy(t *testing.T) {
	g := group(t, balancer.Config{Policy: func(nodes []*balancer.Node) balancer.Picker { return lastOf(nodes) }}, endpoints(1, 1, 1))
	if got := count(t, g, 10); got["10.0.0.2:80"] != 10 {
		t.Errorf("calls went to %v", got)
	}
}

// lastOf is a custom policy: it picks the last node.
type lastOf []*balancer.Node

func (l lastOf) Pick(balancer.Want) *balancer.Node { return l[len(l)-1] }
