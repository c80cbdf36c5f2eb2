package pick

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-kratos/kratos/v2/selector"
	grpc "google.golang.org/grpc/balancer"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// BenchmarkPick is one pick and its release, ours and theirs, kind by kind.
func BenchmarkPick(b *testing.B) {
	for _, kind := range []struct {
		name  string
		mixed bool // weights
		by    []contender
	}{
		{"round_robin", false, []contender{{"rollcall", "round_robin"}, {"choice", "round_robin"}, {"grpc", "round_robin"}}},
		{"weighted_round_robin", true, []contender{{"rollcall", "weighted_round_robin"}, {"choice", "weighted_round_robin"}, {"kratos", "wrr"}}},
		{"random", false, []contender{{"rollcall", "random"}, {"choice", "random"}, {"kratos", "random"}}},
		{"least", false, []contender{{"rollcall", "least_conn"}, {"choice", "least_conn"}, {"grpc", "least_request_experimental"}}},
		{"p2c", false, []contender{{"rollcall", "p2c"}, {"choice", "p2c"}, {"gozero", "p2c_ewma"}, {"kratos", "p2c"}}},
	} {
		for _, n := range []int{10, 1000} {
			weights := make([]uint16, n)
			for i := range weights {
				weights[i] = 100
				if kind.mixed {
					weights[i] = uint16(1 + i*7919%1000)
				}
			}
			for _, c := range kind.by {
				b.Run(fmt.Sprintf("kind=%s/nodes=%d/by=%s", kind.name, n, c.by), func(b *testing.B) {
					one := c.pick(b, weights)
					b.ReportAllocs()
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							one()
						}
					})
					if b.N > 1 { // once is but a try
						results.add(fmt.Sprintf("%s, %d nodes", kind.name, n), c.by, float64(b.Elapsed().Nanoseconds())/float64(b.N))
					}
				})
			}
		}
	}
}

type contender struct{ by, name string }

// pick returns what picks and releases once.
func (c contender) pick(b *testing.B, weights []uint16) func() {
	ctx := context.Background()
	switch c.by {
	case "rollcall", "choice":
		policy, err := balancer.ByName(c.name)
		if err != nil {
			b.Fatal(err)
		}
		g := balancer.NewGroup(balancer.Config{Policy: policy})
		b.Cleanup(g.Close)
		eps := make([]resolver.Endpoint, len(weights))
		for i, w := range weights {
			eps[i] = resolver.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), Weight: w}
		}
		g.Update(eps)
		if c.by == "choice" {
			var nodes []*balancer.Node
			for _, n := range g.Nodes() {
				nodes = append(nodes, n.Node)
			}
			picker := policy(nodes)
			return func() { picker.Pick(balancer.Want{}) }
		}
		return func() {
			p, err := g.Pick(balancer.Want{})
			if err != nil {
				panic(err)
			}
			p.Done(balancer.OK)
		}
	case "grpc", "gozero":
		picker := grpcPicker(b, c.name, len(weights))
		return func() {
			r, err := picker.Pick(grpc.PickInfo{Ctx: ctx})
			if err != nil {
				panic(err)
			}
			if r.Done != nil {
				r.Done(grpc.DoneInfo{})
			}
		}
	case "kratos":
		s := kratosSelector(b, c.name, weights)
		return func() {
			_, done, err := s.Select(ctx)
			if err != nil {
				panic(err)
			}
			done(ctx, selector.DoneInfo{})
		}
	}
	b.Fatalf("nobody is called %s", c.by)
	return nil
}
