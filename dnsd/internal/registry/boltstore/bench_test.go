package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

// benchDir returns a directory on a disk, because the benchmarks measure syncs.
func benchDir(b *testing.B) string {
	if dir := os.Getenv("ROLLCALL_BENCH_DIR"); dir != "" {
		dir, err := os.MkdirTemp(dir, "bench-")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return b.TempDir()
}

// BenchmarkRegister registers instances durably, for several clients at once.
func BenchmarkRegister(b *testing.B) {
	for _, clients := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("store=bolt/clients=%d", clients), func(b *testing.B) {
			r := open(b, filepath.Join(benchDir(b), "svc.db"))
			defer r.Close()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range clients {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						in := instance(fmt.Sprintf("a%d", i))
						in.Service = fmt.Sprintf("_s%d._tcp", i/10)
						if _, err := r.Register(context.Background(), in); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "registrations/s")
			b.ReportMetric(float64(b.N)/float64(r.Stats().Commits), "registrations/commit")
		})
	}
}

// BenchmarkRestart opens a store with many instances, ten a service.
func BenchmarkRestart(b *testing.B) {
	sizes := []int{1_000, 100_000}
	if os.Getenv("ROLLCALL_BENCH_MILLION") == "1" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("store=bolt/instances=%d", n), func(b *testing.B) {
			path := filepath.Join(benchDir(b), "svc.db")
			fill(b, path, n)
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := open(b, path)
				if got := r.Stats().Instances; got != n {
					b.Fatalf("%d instances, want %d", got, n)
				}
				r.Close()
			}
			b.ReportMetric(float64(info.Size())/float64(n), "file-B/instance")
		})
	}
}

// fill commits n instances in large batches, without a registry.
func fill(b *testing.B, path string, n int) {
	b.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var batch registry.Batch
	for i := range n {
		in := instance(fmt.Sprintf("a%d", i))
		in.Service = fmt.Sprintf("_s%d._tcp", i/10)
		in.Host = fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
		in.TTL, in.Lease, in.Revision = 5e9, 15e9, uint64(i+1)
		batch.Changes = append(batch.Changes, registry.Change{Revision: uint64(i + 1), New: &in})
		if len(batch.Changes) == 10_000 || i == n-1 {
			batch.Revision = uint64(i + 1)
			if err := s.Commit(&batch); err != nil {
				b.Fatal(err)
			}
			batch = registry.Batch{}
		}
	}
}
