package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"
)

// benchSizes are numbers of instances, ten a service. A million is one of them if
// ROLLCALL_BENCH_MILLION=1.
func benchSizes() []int {
	if os.Getenv("ROLLCALL_BENCH_MILLION") == "1" {
		return []int{1_000, 100_000, 1_000_000}
	}
	return []int{1_000, 100_000}
}

func benchKey(i int) Key {
	return Key{fmt.Sprintf("_s%d._tcp", i/10), fmt.Sprintf("a%d", i)}
}

func benchInstance(i int) Instance {
	return Instance{
		Key:  benchKey(i),
		Host: fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), Port: 8080, Priority: 10, Weight: 100,
	}
}

// benchOpen opens a registry with n instances.
func benchOpen(b *testing.B, n int, cfg Config) *Registry {
	b.Helper()
	cfg.Limits = Limits{Instances: 1 << 21, PerService: 1 << 20}
	r, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	for i := range n {
		if _, err := r.Register(b.Context(), benchInstance(i)); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// BenchmarkRegister registers new instances, and deregisters them again.
func BenchmarkRegister(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("store=memory/instances=%d", n), func(b *testing.B) {
			r := benchOpen(b, n, Config{})
			ctx := context.Background()
			in := benchInstance(n + 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Register(ctx, in); err != nil {
					b.Fatal(err)
				}
				if _, err := r.Deregister(ctx, in.Key, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChange changes one instance of a service of 5,000.
func BenchmarkChange(b *testing.B) {
	r := benchOpen(b, 0, Config{})
	ctx := context.Background()
	in := benchInstance(0)
	for i := range 5000 {
		in.ID = fmt.Sprintf("a%d", i)
		if _, err := r.Register(ctx, in); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("service=5000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in.ID = fmt.Sprintf("a%d", rand.IntN(5000))
			in.Weight++
			if _, err := r.Register(ctx, in); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRenew renews instances of all services, one at a time and a thousand at once.
func BenchmarkRenew(b *testing.B) {
	for _, n := range benchSizes() {
		r := benchOpen(b, n, Config{})
		ctx := context.Background()
		all := make([]Renewal, n)
		for i := range all {
			all[i].Key = benchKey(i)
		}
		rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		b.Run(fmt.Sprintf("batch=1/instances=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := r.Renew(ctx, all[i%n].Key, 0); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
		b.Run(fmt.Sprintf("batch=1000/instances=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if done, err := r.RenewAll(ctx, all[i:i+1000]); err != nil || done.Count != 1000 {
					b.Fatalf("RenewAll = %+v, %v", done, err)
				}
				i = (i + 1000) % n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/lease")
		})
	}
}

// BenchmarkExpire measures a tick in which no lease ends, and the end of a lease, among
// many other leases. It does not measure the registrations in between.
func BenchmarkExpire(b *testing.B) {
	for _, n := range benchSizes() {
		r := benchOpen(b, n, Config{Lease: Leases{Default: 24 * time.Hour, Min: 3 * time.Second}, Guard: Guard{Off: true}})
		ctx := context.Background()
		b.Run(fmt.Sprintf("idle/instances=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := r.expire(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("due/instances=%d", n), func(b *testing.B) {
			const many = 1000
			for b.Loop() {
				b.StopTimer()
				for i := range many {
					in := benchInstance(n + i)
					in.Lease = 3 * time.Second
					if _, err := r.Register(ctx, in); err != nil {
						b.Fatal(err)
					}
				}
				r.mu.Lock()
				r.clock.now += 3*time.Second + tick // instead of a pause
				r.mu.Unlock()
				b.StartTimer()
				if _, err := r.expire(ctx); err != nil {
					b.Fatal(err)
				}
			}
			if s := r.Stats(); s.Instances != n {
				b.Fatalf("%d instances left of %d", s.Instances, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/lease")
		})
	}
}

// BenchmarkWatchFanOut delivers a change, which is encoded once, to all watches.
func BenchmarkWatchFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("watchers=%d", n), func(b *testing.B) {
			r := benchOpen(b, 0, Config{})
			ctx := context.Background()
			watches := make([]*Watch, n)
			for i := range watches {
				w, err := r.Watch("_s0._tcp", nil)
				if err != nil {
					b.Fatal(err)
				}
				defer w.Close()
				watches[i] = w
			}
			encodings := 0
			enc := func(*Event) []byte { encodings++; return []byte("event") }
			in := benchInstance(0)
			b.ReportAllocs()
			for b.Loop() {
				in.Weight++
				if _, err := r.Register(ctx, in); err != nil {
					b.Fatal(err)
				}
				for _, w := range watches {
					events, err := w.Next(ctx)
					if err != nil || len(events) != 1 || len(events[0].Encoded(enc)) == 0 {
						b.Fatal(events, err)
					}
				}
			}
			b.ReportMetric(float64(encodings)/float64(b.N), "encodings/op")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/watcher")
		})
	}
}

// BenchmarkMemory measures the memory of an instance: the heap of the registry, divided by
// the number of instances.
func BenchmarkMemory(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			heap := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			for b.Loop() {
				before := heap()
				r := benchOpen(b, n, Config{})
				b.ReportMetric(float64(heap()-before)/float64(n), "B/instance")
				runtime.KeepAlive(r)
			}
		})
	}
}
