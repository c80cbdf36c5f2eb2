package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// BenchmarkThreeServersStart is the time from nothing to the first transaction, of three
// servers that are started at the same time.
func BenchmarkThreeServersStart(b *testing.B) {
	for b.Loop() {
		g := newGroup(b, 3, nil)
		g.sync = true
		started := make([]*embedded, 3)
		var all sync.WaitGroup
		for i, name := range []string{"a", "b", "c"} {
			all.Go(func() {
				e, err := g.try(g.config(name))
				if err != nil {
					b.Error(err)
				}
				started[i] = e
			})
		}
		all.Wait()
		for i, name := range []string{"a", "b", "c"} {
			g.open[name] = started[i]
		}
		g.works("a", "b", "c")
		b.StopTimer()
		for _, name := range []string{"a", "b", "c"} {
			g.stop(name)
		}
		b.StartTimer()
	}
}

// BenchmarkTransactions is what a writer does: one fenced transaction of 64 instances and
// the head after another, on three servers, with the disk's syncs.
func BenchmarkTransactions(b *testing.B) {
	g := newGroup(b, 3, nil)
	g.sync = true
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	s := g.open["a"]
	value := make([]byte, 200)
	head := must(b, s, put("head", "0"))
	b.ResetTimer()
	n := 0
	began := time.Now()
	for b.Loop() {
		t := kv.Txn{If: []kv.Compare{{Key: "head", Is: head}}, Then: put("head", fmt.Sprint(n)).Then}
		for range 64 {
			t.Then = append(t.Then, kv.Op{Key: fmt.Sprintf("i/%d", n%100_000), Value: value})
			n++
		}
		head = must(b, s, t)
	}
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "instances/s")
}
