package resolver

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestMissingGlueIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		glueless := withoutGlue(t, zone(t, mathTCP+" 30 IN SRV 0 0 80 a.svc.", mathTCP+" 30 IN SRV 0 0 81 a.svc.", mathTCP+" 30 IN SRV 0 0 80 b.svc.",
			mathTCP+" 30 IN SRV 0 0 80 c.svc.", "a.svc. 10 IN A 10.0.0.1", "a.svc. 20 IN AAAA 2001:db8::1", "b.svc. 60 IN A 10.0.0.2",
			"c.svc. 60 IN CNAME d.svc.", "d.svc. 60 IN AAAA 2001:db8::d", soa))
		s, r := one(glueless)
		got, err := r.Lookup(t.Context(), mathTCP)
		if want := "10.0.0.2:80 [2001:db8::1]:80|10.0.0.1:80 [2001:db8::1]:81|10.0.0.1:81 [2001:db8::d]:80"; addrs(got) != want || err != nil {
			t.Errorf("%s (%v)\nwant %s", addrs(got), err, want)
		}
		if got.TTL != 10*time.Second {
			t.Errorf("TTL %v, want that of the shortest address, 10s", got.TTL)
		}
		if a, aaaa := len(s.asked("A")), len(s.asked("AAAA")); a != 3 || aaaa != 3 {
			t.Errorf("%d A and %d AAAA queries for 3 targets", a, aaaa)
		}
		// A refresh asks only for what has expired, of b that is nothing.
		time.Sleep(10 * time.Second)
		if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
			t.Error(err)
		}
		for _, q := range s.asked("A")[3:] {
			if q.name == "b.svc." {
				t.Error("b.svc. was asked for again within its TTL")
			}
		}
	})
}

func TestMuchMissingGlueIsFetchedByTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var records []string
		for i := range 30 {
			records = append(records,
				fmt.Sprintf("%s 5 IN SRV 0 0 80 i%d.math.tcp.svc.", mathTCP, i), fmt.Sprintf("i%d.math.tcp.svc. 5 IN A 10.0.0.%d", i, i+1))
		}
		s, r := one(zone(t, records...))
		for range 3 {
			got, err := r.Lookup(t.Context(), mathTCP)
			if err != nil || len(got.Endpoints) != 30 {
				t.Fatalf("%d endpoints, %v", len(got.Endpoints), err)
			}
			time.Sleep(5 * time.Second)
		}
		if n := len(s.asked("A")); n != 0 {
			t.Errorf("%d A queries, want 0: TCP has it all", n)
		}
		var networks []string
		for _, q := range s.asked("SRV") {
			networks = append(networks, q.network)
		}
		if got, want := strings.Join(networks, " "), "udp tcp tcp tcp"; got != want {
			t.Errorf("asked by %s, want %s: the size is remembered", got, want)
		}
	})
}

// TestForeignTargetsKeepTheirName: a server with authority only for the zone of the
// service refuses to give the address of a host in another zone.
func TestForeignTargetsKeepTheirName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := zone(t, mathTCP+" 5 IN SRV 0 7 80 db.example.com.", mathTCP+" 5 IN SRV 0 0 80 a.svc.", "a.svc. 5 IN A 10.0.0.1")
		_, r := one(func(network string, q *dns.Msg) [][]byte {
			if strings.HasSuffix(q.Question[0].Name, "example.com.") {
				return rcode(dns.RcodeRefused)(network, q)
			}
			return svc(network, q)
		})
		got, err := r.Lookup(t.Context(), mathTCP)
		if want := "10.0.0.1:80 db.example.com.:80"; err != nil || addrs(got) != want {
			t.Errorf("%s (%v), want %s", addrs(got), err, want)
		}
	})
}

// TestATargetThatCannotBeAskedForKeepsItsAddress, or is left out if it has none. In both
// cases it is tried again soon.
func TestATargetThatCannotBeAskedForKeepsItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		glueless := withoutGlue(t, zone(t, mathTCP+" 60 IN SRV 0 7 80 a.svc.", mathTCP+" 60 IN SRV 0 0 80 10.0.0.9.", "a.svc. 60 IN A 10.0.0.1", soa))
		var broken atomic.Bool
		_, r := one(func(network string, q *dns.Msg) [][]byte {
			if broken.Load() && q.Question[0].Qtype != dns.TypeSRV {
				return rcode(dns.RcodeServerFailure)(network, q)
			}
			return glueless(network, q)
		})
		for range 2 {
			got, err := r.Lookup(t.Context(), mathTCP)
			if want := "10.0.0.1:80 10.0.0.9:80"; err != nil || addrs(got) != want {
				t.Errorf("broken=%v: %s (%v), want %s", broken.Load(), addrs(got), err, want)
			}
			broken.Store(true)
			time.Sleep(time.Minute)
		}
		fresh := &Resolver{Servers: r.Servers, Dial: r.Dial}
		got, err := fresh.Lookup(t.Context(), mathTCP)
		if want := "10.0.0.9:80"; err != nil || addrs(got) != want {
			t.Errorf("without a memory: %s (%v), want %s", addrs(got), err, want)
		}
		broken.Store(false)
		time.Sleep(2 * time.Second)
		if got, err = fresh.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
			t.Errorf("two seconds later: %s (%v)", addrs(got), err)
		}
	})
}

func TestOneFamilyIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := zone(t, mathTCP+" 60 IN SRV 0 7 80 a.svc.", mathTCP+" 60 IN SRV 0 7 80 b.svc.", soa)
		six := zone(t, "a.svc. 60 IN AAAA 2001:db8::1", "b.svc. 60 IN AAAA 2001:db8::2")
		_, r := one(func(network string, q *dns.Msg) [][]byte {
			switch q.Question[0].Qtype {
			case dns.TypeSRV:
				return svc(network, q)
			case dns.TypeAAAA:
				return six(network, q)
			}
			return rcode(dns.RcodeServerFailure)(network, q)
		})
		got, err := r.Lookup(t.Context(), mathTCP)
		if want := "[2001:db8::1]:80 [2001:db8::2]:80"; err != nil || addrs(got) != want || got.TTL != time.Minute {
			t.Errorf("%s, TTL %v (%v), want %s, TTL 1m", addrs(got), got.TTL, err, want)
		}
	})
}

func TestAliasedTargetsAreFollowedOverMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zones := map[string]handler{
			mathTCP:  zone(t, mathTCP+" 60 IN SRV 0 7 80 a.svc.", mathTCP+" 60 IN SRV 0 7 80 loop0.svc."),
			"a.svc.": zone(t, "a.svc. 4 IN CNAME b.svc."),
			"b.svc.": zone(t, "b.svc. 60 IN A 10.0.0.2"),
		}
		for i := range 20 {
			name := fmt.Sprintf("loop%d.svc.", i)
			zones[name] = zone(t, fmt.Sprintf("%s 60 IN CNAME loop%d.svc.", name, i+1))
		}
		s, r := one(func(network string, q *dns.Msg) [][]byte { return zones[q.Question[0].Name](network, q) })
		got, err := r.Lookup(t.Context(), mathTCP)
		if err != nil || addrs(got) != "10.0.0.2:80" {
			t.Errorf("%s, %v", addrs(got), err)
		}
		if n := len(s.asked("A")); n != 2+maxAliases {
			t.Errorf("%d A queries, want 2 and %d for the endless chain", n, maxAliases)
		}
	})
}

// TestTooManyTargetsAreAskedForInPortions: a target that is left out at first is there a
// second later.
func TestTooManyTargetsAreAskedForInPortions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = maxHosts + 50
		glueless := withoutGlue(t, service(t, n))
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			if q.Question[0].Qtype != dns.TypeSRV {
				m := new(dns.Msg).SetReply(q)
				var i int
				fmt.Sscanf(q.Question[0].Name, "i%d.", &i)
				if q.Question[0].Qtype == dns.TypeA {
					a, err := dns.NewRR(fmt.Sprintf("%s 300 IN A 10.1.%d.%d", q.Question[0].Name, i/250, i%250+1))
					if err != nil {
						t.Error(err)
					}
					m.Answer = append(m.Answer, a)
				}
				return pack(m)
			}
			return glueless(network, q)
		})
		got, err := r.Lookup(t.Context(), mathTCP)
		if err != nil || len(got.Endpoints) != maxHosts {
			t.Errorf("%d endpoints (%v), want %d", len(got.Endpoints), err, maxHosts)
		}
		time.Sleep(time.Second)
		got, err = r.Lookup(t.Context(), mathTCP)
		if err != nil || len(got.Endpoints) != n {
			t.Errorf("%d endpoints (%v), want %d", len(got.Endpoints), err, n)
		}
		if q := len(s.asked("A")); q != n {
			t.Errorf("%d A queries, want %d: one for each target", q, n)
		}
	})
}
