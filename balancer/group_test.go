package balancer_test

import (
	"errors"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestPickWithoutEndpointsSaysSo(t *testing.T) {
	g := balancer.NewGroup(balancer.Config{})
	if _, err := g.Pick(balancer.Hint{}); !errors.Is(err, balancer.ErrNoNodes) {
		t.Fatalf("got %v", err)
	}
	g.Close()
	if _, err := g.Pick(balancer.Hint{}); !errors.Is(err, balancer.ErrClosed) {
		t.Fatalf("after Close: got %v", err)
	}
}

func TestInFlightReturnsToZero(t *testing.T) {
	for _, name := range balancer.Names() {
		p, err := balancer.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		g := balancer.NewGroup(balancer.Config{Policy: p})
		g.Update(endpoints(1, 2, 3))
		var picks []balancer.Pick
		for range 300 {
			p, err := g.Pick(balancer.Hint{})
			if err != nil {
				t.Fatal(err)
			}
			picks = append(picks, p)
		}
		sum := 0
		for _, n := range g.Nodes() {
			sum += n.InFlight
		}
		if sum != 300 {
			t.Errorf("%s: %d in flight, want 300", name, sum)
		}
		for _, p := range picks {
			p.Done(balancer.OK)
		}
		for _, n := range g.Nodes() {
			if n.InFlight != 0 {
				t.Errorf("%s: %s has %d in flight, want 0", name, n.Endpoint.Addr, n.InFlight)
			}
		}
		g.Close()
	}
}
