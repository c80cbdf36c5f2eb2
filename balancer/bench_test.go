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

// weightsOf returns n weights, all equal or mixed.
func weightsOf(n int, mixed bool) []uint16 {
	ws := make([]uint16, n)
	for i := range ws {
		ws[i] = 100
		if mixed {
			ws[i] = uint16(1 + i*7919%1000)
		}
	}
	return ws
}

// BenchmarkPick measures the choice alone.
func BenchmarkPick(b *testing.B) { benchmark(b, false) }

// BenchmarkPickDone measures the choice and the accounting: in flight, latency, outcome.
func BenchmarkPickDone(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, done bool) {
	for _, name := range balancer.Names() {
		policy, err := balancer.ByName(name)
		if err != nil {
			b.Fatal(err)
		}
		for _, mixed := range []bool{false, true} {
			for _, n := range []int{10, 1000} {
				weights := "even"
				if mixed {
					weights = "mixed"
				}
				b.Run(fmt.Sprintf("policy=%s/weights=%s/nodes=%d", name, weights, n), func(b *testing.B) {
					g := balancer.NewGroup(balancer.Config{Policy: policy})
					defer g.Close()
					g.Update(endpoints(weightsOf(n, mixed)...))
					var nodes []*balancer.Node
					for _, n := range g.Nodes() {
						nodes = append(nodes, n.Node)
					}
					picker := policy(nodes)
					h := balancer.Want{}
					if name == "hash" {
						h.Key = "user/4711"
					}
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if !done {
								picker.Pick(h)
								continue
							}
							p, _ := g.Pick(h)
							p.Done(balancer.OK)
						}
					})
				})
			}
		}
	}
}
