package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestBusyNodesAreTimedBySample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, balancer.Config{}, endpoints(1))
		n := nodesOf(g)[0]
		count(t, g, 10000) // at once: no time passes in a bubble
		// After a pause, the first picks may go untimed, but soon all are timed.
		for range 70 {
			p := pick(t, g, balancer.Want{})
			sleep(20 * time.Millisecond)
			p.Done(balancer.OK)
		}
		for _, took := range []time.Duration{40, 60, 80} {
			for range 2 { // one late answer alone changes nothing
				p := pick(t, g, balancer.Want{})
				sleep(took * time.Millisecond)
				p.Done(balancer.OK)
			}
			if n.Cost() != took*time.Millisecond {
				t.Fatalf("calls of %d ms went unnoticed: cost %v", took, n.Cost())
			}
		}
	})
}
