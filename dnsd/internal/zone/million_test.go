package zone

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// BenchmarkMillion registers a million instances in a registry with its zone
// and asks for every SRV set and every address set: the peak of the memory of
// both, with what the garbage collector has not freed yet, must be below a
// GiB. Only with -million.
func BenchmarkMillion(b *testing.B) {
	if !*million {
		b.Skip("-million is not given")
	}
	ctx := context.Background()
	for b.Loop() {
		r, err := registry.Open(registry.Config{})
		if err != nil {
			b.Fatal(err)
		}
		z, err := New(testConfig())
		if err != nil {
			b.Fatal(err)
		}
		r.Attach(z)
		const n, workers = 1_000_000, 64
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := w; i < n; i += workers {
					if _, err := r.Register(ctx, registry.Instance{
						Key:  registry.Key{Service: fmt.Sprintf("_svc%06d._tcp", i/10), ID: fmt.Sprintf("i%02d", i%10)},
						Host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 8080, Priority: 10, Weight: 100,
					}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(rss(b, "VmHWM"))/(1<<20), "MiB-registered")
		buf := make([]byte, 0, 4096)
		for i := range n / 10 {
			for _, q := range []struct {
				name  string
				qtype uint16
			}{{"_svc%06d._tcp.svc.", dns.TypeSRV}, {"svc%06d.tcp.svc.", dns.TypeA}} {
				msg := append(buf[:0], question(fmt.Sprintf(q.name, i), q.qtype)...)
				if _, c, ok := z.AppendAnswer(msg, msg[headerSize:len(msg)-4], q.qtype, 1232); !ok || c.AN != 10 {
					b.Fatalf("%d: %+v %v", i, c, ok)
				}
			}
		}
		peak := rss(b, "VmHWM")
		b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
		if peak > 1<<30 {
			b.Errorf("the peak is %d MiB", peak>>20)
		}
		runtime.KeepAlive(z)
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}
}

// rss reads a line of /proc/self/status in octets.
func rss(b *testing.B, line string) uint64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skipf("the memory of a process is told by Linux: %v", err)
	}
	for l := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(l, line+":"); ok {
			kib, err := strconv.ParseUint(strings.Fields(v)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatalf("no %s", line)
	return 0
}
