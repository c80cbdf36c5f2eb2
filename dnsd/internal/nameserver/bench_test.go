package nameserver

import (
	"fmt"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// fleet is services x each instances: names _s0._tcp, and so on.
func fleet(services, each int) []*registry.Instance {
	out := make([]*registry.Instance, 0, services*each)
	for s := range services {
		for i := range each {
			in := instance(fmt.Sprintf("_s%d._tcp", s), s*each+i)
			in.ID = fmt.Sprintf("i%d", i)
			out = append(out, in)
		}
	}
	return out
}

// hot are the questions of the fast path.
var hot = map[string]struct {
	name  string
	qtype uint16
}{
	"srv":      {"_s%d._tcp.svc.", dns.TypeSRV},
	"a":        {"i3.s%d.tcp.svc.", dns.TypeA},
	"hosts":    {"s%d.tcp.svc.", dns.TypeA},
	"ptr":      {"_s%d._tcp.svc.", dns.TypePTR},
	"txt":      {"i3._s%d._tcp.svc.", dns.TypeTXT},
	"nodata":   {"_s%d._tcp.svc.", dns.TypeMX},
	"nxdomain": {"_none%d._tcp.svc.", dns.TypeSRV},
}

var transports = map[string]transport{"udp": overUDP, "tcp": overTCP}

func TestNoAllocationForAQuery(t *testing.T) {
	for _, z := range []*zone.Zone{testZone(t, fleet(100, 10)...), stale(t, "svc.", fleet(100, 10)...), absent(t, "svc.")} {
		allocatesNothing(t, []Zone{{Zone: z}})
	}
}

// allocatesNothing asks for everything that is hot.
func allocatesNothing(t *testing.T, zones []Zone) {
	t.Helper()
	for kind, q := range hot {
		for trName, tr := range transports {
			for what, change := range map[string]func(*dns.Msg){
				"plain":  func(*dns.Msg) {},
				"edns":   edns(1232),
				"cookie": cookieOption([]byte("12345678")),
			} {
				r := responderFor(t, Config{Zones: zones, RateLimit: RateLimit{PerSecond: 1000}, NSID: "x"})
				packet := wireQuery(t, fmt.Sprintf(q.name, 7), q.qtype, change)
				buf := make([]byte, 0, 4096)
				if n := testing.AllocsPerRun(100, func() {
					if len(r.respond(buf, packet, client, tr)) < len(packet) {
						t.Fatal("no answer")
					}
				}); n != 0 {
					t.Errorf("%s over %s, %s: %v allocations", kind, trName, what, n)
				}
			}
		}
	}
}

// BenchmarkServe measures a query without its system calls: parse, look-up, answer,
// count.
func BenchmarkServe(b *testing.B) {
	for _, services := range []int{100, 100_000} {
		// The zone is made only for a benchmark that runs: a million instances take seconds.
		zones := sync.OnceValue(func() []Zone { return []Zone{{Zone: testZone(b, fleet(services, 10)...)}} })
		for kind, q := range hot {
			for trName, tr := range transports {
				b.Run(fmt.Sprintf("type=%s/transport=%s/instances=%d", kind, trName, services*10), func(b *testing.B) {
					r := responderFor(b, Config{Zones: zones(), RateLimit: RateLimit{PerSecond: -1}})
					packets := make([][]byte, 4096)
					for i := range packets {
						// From all over the zone, so that a large one is not read from the cache.
						packets[i] = wireQuery(b, fmt.Sprintf(q.name, i*2_654_435_761%services), q.qtype, edns(1232))
						r.respond(nil, packets[i], client, tr) // makes the image
					}
					buf := make([]byte, 0, 4096)
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						r.respond(buf, packets[i%len(packets)], client, tr)
						i++
					}
				})
			}
		}
	}
}

// BenchmarkServeStates measures the same for zones that are not as usual, beside one that
// is.
func BenchmarkServeStates(b *testing.B) {
	for state, z := range map[string]*zone.Zone{"usual": testZone(b, fleet(100, 10)...), "stale": stale(b, "svc.", fleet(100, 10)...), "absent": absent(b, "svc.")} {
		b.Run("state="+state, func(b *testing.B) {
			r := responderFor(b, Config{Zones: []Zone{{Zone: z}}, RateLimit: RateLimit{PerSecond: -1}})
			packet := wireQuery(b, "_s7._tcp.svc.", dns.TypeSRV, edns(1232))
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				r.respond(buf, packet, client, overUDP)
			}
		})
	}
}

// BenchmarkRecords measures the readable path, for comparison.
func BenchmarkRecords(b *testing.B) {
	r := responderFor(b, Config{Zones: []Zone{{Zone: testZone(b, fleet(100, 10)...)}}, RateLimit: RateLimit{PerSecond: -1}})
	r.byRecords = true
	packet := wireQuery(b, "_s7._tcp.svc.", dns.TypeSRV, edns(1232))
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r.respond(buf, packet, client, overUDP)
	}
}

// BenchmarkTransfer packs a whole zone, as AXFR does.
func BenchmarkTransfer(b *testing.B) {
	z := testZone(b, fleet(1000, 10)...)
	for b.Loop() {
		t := &transfer{zone: z, question: dns.Question{Name: "svc.", Qtype: dns.TypeAXFR, Qclass: dns.ClassINET}}
		if _, err := t.send(b.Context(), func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/60_000, "ns/record")
}
