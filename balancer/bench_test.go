package balancer_test

import (
	"fmt"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func endpoints(weights ...uint16) []resolver.Endpoint {
	eps := make([]resolver.Endpoint, len(weights))
	for i, w := range weights {
		eps[i] = resolver.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), Weight: w}
	}
	return eps
}

func BenchmarkPickDone(b *testing.B) {
	for _, name := range []string{"round_robin", "p2c"} {
		pol := map[string]balancer.Policy{"round_robin": balancer.RoundRobin, "p2c": balancer.P2C}[name]
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("policy=%s/nodes=%d", name, n), func(b *testing.B) {
				g := balancer.NewGroup(balancer.Config{Policy: pol})
				defer g.Close()
				g.Update(endpoints(make([]uint16, n)...))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						p, _ := g.Pick(balancer.Hint{})
						p.Done(balancer.OK)
					}
				})
			})
		}
	}
}
