package balancer_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

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
		s.load(20, 100*time.Second) // so few that hardly ever two calls are in flight
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

// TestP2CFollowsWeights: of nodes that are equally fast, each gets the share that its
// weight says, however long calls take: a node of 5 % gets 4 to 6 of 100 calls.
func TestP2CFollowsWeights(t *testing.T) {
	for _, method := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		for _, ws := range [][]uint16{{95, 95, 10}, {100, 200, 100}, {1, 1}, {10, 90}, {50, 50, 50, 50, 50, 20, 5}} {
			t.Run(fmt.Sprintf("method=%v/weights=%v", method, ws), func(t *testing.T) {
				for seed := range uint64(8) {
					worst, pause := playWeights(t, ws, method, seed)
					// While one of two nodes seems slow, the other gets all calls.
					if most := map[bool]float64{true: 0.4, false: 0.2}[len(ws) == 2]; worst > most {
						t.Errorf("seed %d: a share is off by %.0f %%", seed, 100*worst)
					}
					if pause > time.Second {
						t.Errorf("seed %d: a node that should get ten calls a second got none for %v", seed, pause)
					}
				}
			})
		}
	}
}

// playWeights makes 3,000 calls, 300 a second, to nodes that are equally fast. A call
// takes the time of the method, some tenths of a millisecond of the machine, and now and
// then some milliseconds when the machine is busy. It returns how far the shares are off,
// and the longest time without a call for a node that should get ten calls a second.
func playWeights(t *testing.T, ws []uint16, method time.Duration, seed uint64) (worst float64, pause time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		const rate, calls = 300, 3000
		s := newSim(balancer.Config{}, seed)
		eps := endpoints(ws...)
		s.group.Update(eps)
		s.serve = func(string, time.Duration) (time.Duration, balancer.Outcome) {
			took := method + 150*time.Microsecond + time.Duration(s.rnd.ExpFloat64()*float64(100*time.Microsecond))
			if s.rnd.IntN(100) == 0 {
				took += time.Duration(s.rnd.ExpFloat64() * float64(3*time.Millisecond))
			}
			return took, balancer.OK
		}
		for i := range calls {
			s.at(time.Duration(i)*time.Second/rate, func() {
				s.calls++
				s.call(s.now(), 0, nil)
			})
		}
		s.run()
		sum := 0.0
		for _, w := range ws {
			sum += float64(w)
		}
		for _, ep := range eps {
			share := float64(ep.Weight) / sum
			worst = max(worst, math.Abs(float64(s.picks[ep.Addr])/calls/share-1))
			if share*rate < 10 {
				continue
			}
			last := time.Duration(0)
			for _, at := range append(s.pickAt[ep.Addr], calls*time.Second/rate) {
				pause = max(pause, at-last)
				last = at
			}
		}
	})
	return worst, pause
}
