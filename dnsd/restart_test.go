package dnsd

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

var million = flag.Bool("million", false, "run the benchmarks of a million instances, too")

// storeVar in the environment makes the test binary a dnsd with that bolt file.
const storeVar = "ROLLCALL_TEST_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(storeVar); path != "" {
		peertest.Main(func(ctx context.Context) error {
			s, err := New(Config{Zones: []Zone{free(Zone{Store: Store{Kind: "bolt", Path: path}})}})
			if err != nil {
				return err
			}
			fmt.Println(s.DNSAddr())
			return s.Run(ctx)
		})
	}
	os.Exit(m.Run())
}

// BenchmarkRestart starts a dnsd, in a process of its own, with a bolt store of services
// of 10 instances. It measures the time to the first answer, and the resident memory
// after a query for every service.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			if n > 100_000 && !*million {
				b.Skip("takes a minute: ask for it with -million")
			}
			path := filepath.Join(b.TempDir(), "svc.db")
			fillStore(b, path, n)
			var rss float64
			for b.Loop() {
				p := peertest.StartSelf(b, "dnsd", storeVar+"="+path)
				addr, err := p.Line()
				if err != nil {
					b.Fatal(err)
				}
				askServices(b, addr, 1)
				b.StopTimer()
				askServices(b, addr, n/10)
				rss = max(rss, residentMiB(b, p.Pid))
				p.Kill()
				b.StartTimer()
			}
			b.ReportMetric(rss, "RSS-MiB")
		})
	}
}

// fillStore makes a store of n instances.
func fillStore(b *testing.B, path string, n int) {
	b.Helper()
	store, err := boltstore.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	r, err := registry.Open(registry.Config{Backend: store})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	const writers = 512 // share a sync
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				_, err := r.Register(b.Context(), registry.Instance{
					Key:  registry.Key{Service: fmt.Sprintf("_s%d._tcp", i/10), ID: fmt.Sprintf("i%d", i%10)},
					Host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 8080, Priority: 10, Weight: 100,
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// askServices queries the SRV records of the first n services.
func askServices(b *testing.B, addr string, n int) {
	b.Helper()
	conn, err := dns.Dial("udp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	conn.UDPSize = dns.DefaultMsgSize
	for i := range n {
		m := new(dns.Msg)
		m.SetQuestion(fmt.Sprintf("_s%d._tcp.svc.", i), dns.TypeSRV)
		m.SetEdns0(dns.DefaultMsgSize, false)
		if err := conn.WriteMsg(m); err != nil {
			b.Fatal(err)
		}
		r, err := conn.ReadMsg()
		if err != nil || len(r.Answer) != 10 {
			b.Fatalf("service %d: %v, %v", i, r, err)
		}
	}
}

// residentMiB is the resident memory of a process.
func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("resident memory needs /proc")
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	b.Fatal("no VmHWM in the process's status")
	return 0
}
