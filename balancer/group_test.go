package balancer_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestPicksDuringUpdates changes the membership all the time while picks go on, for the
// race detector and for the counts.
func TestPicksDuringUpdates(t *testing.T) {
	for _, name := range balancer.Names() {
		t.Run(name, func(t *testing.T) {
			policy, err := balancer.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			var born, gone atomic.Int64
			var mu sync.Mutex
			var all []*balancer.Node
			g := balancer.NewGroup(balancer.Config{
				Policy: policy,
				New: func(n *balancer.Node) any {
					born.Add(1)
					mu.Lock()
					defer mu.Unlock()
					all = append(all, n)
					return "value"
				},
				Gone: func(*balancer.Node) { gone.Add(1) },
			})
			eps := endpoints(weightsOf(20, true)...)
			g.Update(eps)
			stop := make(chan struct{})
			var picks atomic.Int64
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						p, err := g.Pick(balancer.Want{Key: "k"})
						if err != nil {
							t.Error(err)
							return
						}
						if p.Node().Value() != "value" {
							t.Error("picked a node before it had its value")
						}
						n := picks.Add(1)
						if n%16 == 0 {
							runtime.Gosched()
						}
						switch {
						case n%97 == 0:
							p.Node().Down(fmt.Errorf("reset"))
							p.Done(balancer.Failed)
						case n%11 == int64(i):
							p.Done(balancer.Failed)
						default:
							p.Node().Up()
							p.Done(balancer.OK)
						}
					}
				})
			}
			for i := range 1000 {
				for before := picks.Load(); picks.Load() < before+10; {
					runtime.Gosched()
				}
				g.Update(eps[i%10 : 10+i%10])
				if i%7 == 0 {
					g.Nodes()
				}
			}
			close(stop)
			wg.Wait()
			g.Close()
			if born.Load() != gone.Load() {
				t.Errorf("%d nodes made, %d gone", born.Load(), gone.Load())
			}
			for _, n := range all {
				if n.InFlight() != 0 {
					t.Errorf("%s has %d in flight, want 0", n.Endpoint().Addr, n.InFlight())
				}
			}
		})
	}
}

func TestUpdateThatChangesNothingIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		built := 0
		policy := func(nodes []*balancer.Node) balancer.Picker {
			built++
			return balancer.P2C(nodes)
		}
		eps := tiers(endpoints(1, 2, 3, 4), 0, 0, 1, 1)
		g := group(t, balancer.Config{Policy: policy}, eps)
		if built != 2 {
			t.Fatalf("%d pickers for two tiers", built)
		}
		g.Update(eps)
		g.Update([]resolver.Endpoint{eps[3], eps[1], eps[0], eps[2], eps[0]}) // their order and double ones change nothing
		if built != 2 {
			t.Errorf("an update that changes nothing built %d pickers", built-2)
		}
		eps[3].Weight = 9
		g.Update(eps)
		if built != 3 {
			t.Errorf("a change in one tier built %d pickers, want 1", built-2)
		}
		eps[3].Target = "b.example."
		g.Update(eps)
		if built != 4 {
			t.Errorf("another target built %d pickers, want 1", built-3)
		}
		eps[0].Alt = []string{"10.1.1.1:80"}
		g.Update(eps)
		if built != 4 || len(nodesOf(g)[0].Endpoint().Alt) != 1 {
			t.Errorf("a new alternative address built %d pickers; endpoint %+v", built-4, nodesOf(g)[0].Endpoint())
		}
	})
}

func TestStatisticsSurviveUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone []string
		g := group(t, balancer.Config{Gone: func(n *balancer.Node) { gone = append(gone, n.Endpoint().Addr) }}, endpoints(1, 1))
		p := pick(t, g, balancer.Want{})
		n := p.Node()
		sleep(70 * time.Millisecond)
		p.Done(balancer.OK)
		open := pick(t, g, balancer.Want{})
		for open.Node() != n {
			open = pick(t, g, balancer.Want{})
		}
		before := n.Picks()
		eps := endpoints(5, 5, 5)
		for i := range eps {
			eps[i].Priority = 7
		}
		g.Update(eps)
		g.Update(eps[:2])
		if n.Cost() != 70*time.Millisecond || n.Picks() != before || n.InFlight() != 1 || n.Endpoint().Weight != 5 {
			t.Errorf("after updates: cost %v, %d picks, %d in flight, %+v", n.Cost(), n.Picks(), n.InFlight(), n.Endpoint())
		}
		open.Done(balancer.OK)
		if n.InFlight() != 0 {
			t.Errorf("%d in flight", n.InFlight())
		}
		if fmt.Sprint(gone) != "[10.0.0.2:80]" {
			t.Errorf("gone: %v", gone)
		}
		g.Update(nil)
		if _, err := g.Pick(balancer.Want{}); !errors.Is(err, balancer.ErrNoNodes) {
			t.Errorf("without endpoints: %v", err)
		}
		n.Down(errReset) // changes nothing: the node is gone
		n.Up()
		g.Close()
		g.Update(eps)
		if _, err := g.Pick(balancer.Want{}); !errors.Is(err, balancer.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if err := g.Wait(t.Context()); !errors.Is(err, balancer.ErrClosed) {
			t.Errorf("Wait after Close: %v", err)
		}
		if len(gone) != 3 {
			t.Errorf("gone: %v", gone)
		}
	})
}
