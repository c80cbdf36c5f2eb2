package peer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// loopback returns the Writes of a follower, joined to a writer in memory by TLS.
func loopback(b *testing.B) (w *Writes, writer *registry.Registry) {
	b.Helper()
	writer = open(b, registry.Config{Limits: registry.Limits{PerService: 50_000_000, Instances: 50_000_000}})
	me, present := identity(b), &known{}
	present.add(me)
	_, to := start(b, writer, present)
	own, _ := follower(b, writer)
	w = NewWrites(WritesConfig{Registry: own, Members: newMembers(to), Client: client(b, me)})
	b.Cleanup(w.Close)
	return w, writer
}

// share runs do for each i below b.N in so many goroutines, and reports how many a second.
func share(b *testing.B, goroutines int, do func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var running sync.WaitGroup
	for range goroutines {
		running.Go(func() {
			for i := int(next.Add(1) - 1); i < b.N; i = int(next.Add(1) - 1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkForward is a registration at a follower, until its change is back there.
func BenchmarkForward(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint("concurrency=", n), func(b *testing.B) {
			w, _ := loopback(b)
			share(b, n, func(i int) error {
				_, err := w.Register(b.Context(), sample(fmt.Sprint("a", i)))
				return err
			})
		})
	}
}

// BenchmarkForwardRenew is a renewal at a follower. The goal is 30,000 a second.
func BenchmarkForwardRenew(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint("concurrency=", n), func(b *testing.B) {
			w, writer := loopback(b)
			const instances = 10_000
			keys := make([]registry.Key, instances)
			for i := range keys {
				in := sample(fmt.Sprint("a", i))
				in.Meta = map[string]string{"version": "1.2.3", "zone": "eu-1"}
				if _, err := writer.Register(b.Context(), in); err != nil {
					b.Fatal(err)
				}
				keys[i] = in.Key
			}
			share(b, n, func(i int) error {
				_, err := w.Renew(b.Context(), keys[i%instances], 7)
				return err
			})
		})
	}
}

// BenchmarkForwardRenewAll counts single renewals of requests with 1,000 each.
func BenchmarkForwardRenewAll(b *testing.B) {
	w, writer := loopback(b)
	const list = 1000
	all := make([]registry.Renewal, list)
	for i := range all {
		in := sample(fmt.Sprint("a", i))
		if _, err := writer.Register(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		all[i] = registry.Renewal{Key: in.Key, Incarnation: 7}
	}
	share(b, 4, func(i int) error {
		if i%list != 0 {
			return nil
		}
		_, err := w.RenewAll(b.Context(), all)
		return err
	})
}
