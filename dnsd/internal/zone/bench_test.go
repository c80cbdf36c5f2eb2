package zone

import (
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

var million = flag.Bool("million", false, "run the benchmarks of a million instances, too")

// benchInstances makes services of ten instances each, in the order of keys.
func benchInstances(n int) []*registry.Instance {
	ins := make([]*registry.Instance, n)
	for i := range ins {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		ins[i] = &registry.Instance{
			Key:  registry.Key{Service: fmt.Sprintf("_svc%06d._tcp", i/10), ID: fmt.Sprintf("i%02d", i%10)},
			Host: addr.String(), Port: uint16(1024 + i%60000), Priority: 10, Weight: 100,
			TTL: 5 * time.Second, Lease: 15 * time.Second, Revision: uint64(i + 1),
		}
	}
	return ins
}

// sizes are the zones to measure in.
func sizes() []int {
	if *million {
		return []int{1000, 1_000_000}
	}
	return []int{1000}
}

func BenchmarkAnswer(b *testing.B) {
	for _, n := range sizes() {
		z := newTestZone(b, testConfig(), uint64(n), benchInstances(n)...)
		for _, q := range []struct{ kind, name string }{
			{"srv", "_svc%06d._tcp.svc."},
			{"ptr", "_svc%06d._tcp.svc."},
			{"a", "svc%06d.tcp.svc."},
			{"instance-a", "i03.svc%06d.tcp.svc."},
			{"instance-srv", "i03._svc%06d._tcp.svc."},
			{"instance-txt", "i03._svc%06d._tcp.svc."},
			{"nodata", "_svc%06d._tcp.svc."},
			{"nxdomain", "_no%06d._tcp.svc."},
		} {
			qtype := map[string]uint16{
				"srv": dns.TypeSRV, "ptr": dns.TypePTR, "a": dns.TypeA, "instance-a": dns.TypeA,
				"instance-srv": dns.TypeSRV, "instance-txt": dns.TypeTXT, "nodata": dns.TypeMX, "nxdomain": dns.TypeSRV,
			}[q.kind]
			// Questions in an order that no cache line foresees.
			services := n / 10
			names := make([]string, min(services, 1<<16))
			wires := make([][]byte, len(names))
			for i := range names {
				names[i] = fmt.Sprintf(q.name, i*7919%services)
				wires[i] = wireName(names[i])
			}
			buf := make([]byte, headerSize, 4096)
			b.Run(fmt.Sprintf("type=%s/path=image/instances=%d", q.kind, n), func(b *testing.B) {
				b.ReportAllocs()
				ask := func(i int) {
					qname := wires[i%len(wires)]
					msg := append(append(buf[:headerSize], qname...), byte(qtype>>8), byte(qtype), 0, 1)
					if _, _, ok := z.AppendAnswer(msg, msg[headerSize:headerSize+len(qname)], qtype, 1232); !ok {
						b.Fatal("declined")
					}
				}
				for i := range wires {
					ask(i)
				}
				i := 0
				for b.Loop() {
					ask(i)
					i++
				}
			})
			if n > 1000 {
				continue
			}
			b.Run(fmt.Sprintf("type=%s/path=records/instances=%d", q.kind, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					qname := wires[i%len(wires)]
					msg := append(append(buf[:headerSize], qname...), byte(qtype>>8), byte(qtype), 0, 1)
					if _, _, err := Pack(msg, z.Lookup(names[i%len(names)], qtype), 1232); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}

// BenchmarkApply changes one instance in services of several sizes; with a
// question after each change, it makes a new image each time, too.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{10, 5000} {
		for _, ask := range []string{"none", "udp", "tcp"} {
			b.Run(fmt.Sprintf("members=%d/question=%s", n, ask), func(b *testing.B) {
				b.ReportAllocs()
				ins := make([]*registry.Instance, n)
				for i := range ins {
					ins[i] = benchInstances(1)[0]
					ins[i].ID = fmt.Sprintf("i%04d", i)
					ins[i].Host = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
				}
				z := newTestZone(b, testConfig(), 1, ins...)
				msg := question("_svc000000._tcp.svc.", dns.TypeSRV)
				buf := make([]byte, len(msg), 1<<16)
				copy(buf, msg)
				qname := buf[headerSize : len(buf)-4]
				limit := map[string]int{"udp": 1232, "tcp": maxMessage}[ask]
				revision := uint64(1)
				for b.Loop() {
					revision++
					i := int(revision) % n
					now := *ins[i]
					now.Weight++
					z.Apply([]registry.Change{{Revision: revision, Old: ins[i], New: &now}})
					ins[i] = &now
					if limit > 0 {
						if _, _, ok := z.AppendAnswer(buf, qname, dns.TypeSRV, limit); !ok {
							b.Fatal("declined")
						}
					}
				}
			})
		}
	}
}

// BenchmarkLoad loads a registry and says what the zone takes for an instance
// besides the instance itself: at first, and when every SRV, A and PTR answer
// has been asked for.
func BenchmarkLoad(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			ins := benchInstances(n)
			before := heap()
			var z *Zone
			for b.Loop() {
				z = newTestZone(b, testConfig(), uint64(n), ins...)
			}
			loaded := heap()
			buf := make([]byte, headerSize, 4096)
			for i := range n / 10 {
				for _, q := range []struct {
					name  string
					qtype uint16
				}{{"_svc%06d._tcp.svc.", dns.TypeSRV}, {"_svc%06d._tcp.svc.", dns.TypePTR}, {"svc%06d.tcp.svc.", dns.TypeA}} {
					qname := wireName(fmt.Sprintf(q.name, i))
					msg := append(append(buf[:headerSize], qname...), 0, byte(q.qtype), 0, 1)
					if _, _, ok := z.AppendAnswer(msg, qname, q.qtype, 1232); !ok {
						b.Fatal("declined")
					}
				}
			}
			asked := heap()
			b.ReportMetric(float64(loaded-before)/float64(n), "B/instance")
			b.ReportMetric(float64(asked-before)/float64(n), "B/instance-asked")
			runtime.KeepAlive(ins)
			runtime.KeepAlive(z)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTransfer reads a whole zone.
func BenchmarkTransfer(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			z := newTestZone(b, testConfig(), uint64(n), benchInstances(n)...)
			for b.Loop() {
				_, records := z.Transfer()
				for range records {
				}
			}
		})
	}
}
