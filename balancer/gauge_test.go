package balancer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/rollcall-dns/rollcall/resolver"
)

// hashing is a group of n nodes whose gauge is wide.
func hashing(t *testing.T, n int) *Group {
	g := NewGroup(Config{Policy: Hash(0)})
	t.Cleanup(g.Close)
	var eps []resolver.Endpoint
	for i := range n {
		eps = append(eps, resolver.Endpoint{Addr: fmt.Sprint(i), Weight: 1})
	}
	g.Update(eps)
	g.total.move(0)
	return g
}

func TestWideGaugeIsExactAndHashBoundHolds(t *testing.T) {
	g := hashing(t, 5)
	share := map[*Node]float64{}
	expect(g.snap.Load().picker, g.order, 1, share)
	rnd := rand.New(rand.NewPCG(1, 2))
	var open []Pick
	for range 5000 {
		// To change the factor is to be another goroutine.
		g.total.factor.Store(mix(rnd.Uint64()) | 1)
		if i := rnd.IntN(len(open) + 1); rnd.IntN(60) < len(open) {
			i = min(i, len(open)-1)
			open[i].Done(OK)
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		} else {
			p, err := g.Pick(Hint{Key: fmt.Sprint(rnd.IntN(4))})
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, p)
			if n := p.Node(); float64(n.InFlight()) > math.Ceil(1.25*share[n]*float64(len(open))) {
				t.Fatalf("share %.3f has %d of %d calls in flight", share[n], n.InFlight(), len(open))
			}
		}
		if got := g.total.inFlight(); got != uint64(len(open)) {
			t.Fatalf("%d calls in flight, want %d", got, len(open))
		}
	}
}

func TestGaugeIsNeverNegative(t *testing.T) {
	g := hashing(t, 3)
	const goroutines, calls = 8, 5000
	var done sync.WaitGroup
	for range goroutines {
		done.Go(func() {
			for range calls {
				p, err := g.Pick(Hint{Key: "k"})
				if err != nil {
					t.Error(err)
					return
				}
				// At most all calls that there ever are: a negative number would be huge.
				if n := g.total.inFlight(); n > goroutines*calls {
					t.Errorf("%d calls in flight", int64(n))
				}
				p.Done(OK)
			}
		})
	}
	done.Wait()
	if n := g.total.inFlight(); n != 0 {
		t.Errorf("%d calls in flight after all", int64(n))
	}
}
