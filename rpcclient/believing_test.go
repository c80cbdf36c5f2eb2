package rpcclient

import (
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/resolver"
)

// What DNS says while the servers are well, and for how long it may say it without a
// connection being lost.
func TestNodesThatAnswerPingsOutliveWhatDNSSays(t *testing.T) {
	soa := func(m *dns.Msg) {
		m.Ns = append(m.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: "svc.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 5}, Ns: "ns.svc.", Mbox: "h.svc.", Minttl: 5})
	}
	srv := func(m *dns.Msg, target string) {
		m.Answer = append(m.Answer, &dns.SRV{Hdr: dns.RR_Header{Name: "_math._tcp.svc.", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: stormTTL}, Port: 80, Target: target})
	}
	for name, c := range map[string]struct {
		odd  func(q, m *dns.Msg)
		long time.Duration
	}{
		"no such name, as of a registry that was restarted without its memory": {func(_, m *dns.Msg) {
			m.Rcode = dns.RcodeNameError
			soa(m)
		}, 20 * time.Second},
		"the name without records": {func(_, m *dns.Msg) { soa(m) }, 20 * time.Second},
		"one of three, as of a registry that is being filled again": {func(_, m *dns.Msg) {
			srv(m, "a0.math.tcp.svc.")
			m.Extra = append(m.Extra, &dns.A{Hdr: dns.RR_Header{Name: "a0.math.tcp.svc.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: stormTTL}, A: net.IPv4(10, 0, 0, 1)})
		}, 20 * time.Second},
		"targets that do not exist": {func(q, m *dns.Msg) {
			if q.Question[0].Qtype != dns.TypeSRV {
				m.Rcode = dns.RcodeNameError
				soa(m)
				return
			}
			for _, target := range []string{"a0.math.tcp.svc.", "a1.math.tcp.svc.", "a2.math.tcp.svc."} {
				srv(m, target)
			}
		}, 20 * time.Second},
		"a lame server that refuses":              {func(_, m *dns.Msg) { m.Rcode = dns.RcodeRefused }, 3 * time.Hour},
		"a lame server that answers with nothing": {func(_, m *dns.Msg) { m.Authoritative = false }, 20 * time.Second},
		"a server that fails":                     {func(_, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, 100 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				client, err := New("_math._tcp.svc", &Config{
					Conn:   ConnConfig{Dial: w.dial, PingInterval: time.Minute},
					Source: &resolver.Resolver{Servers: []string{"10.0.0.53"}, Dial: w.ask, Rand: rand.New(rand.NewPCG(1, 1))},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				allUp(t, client, 3)
				time.Sleep(time.Minute)
				check := func(when string) {
					t.Helper()
					usable := 0
					for _, info := range client.group.Nodes() {
						if info.Node.Value().(*node).up() {
							usable++
						}
					}
					if dials := client.Stats().Dials; usable != 3 || dials != 6 {
						t.Fatalf("%s: %d of 3 nodes are usable, %d dials (6 at first)", when, usable, dials)
					}
				}
				for range 3 {
					w.set(func() { w.odd = c.odd })
					for range 20 {
						time.Sleep(c.long / 20)
						check("meanwhile")
					}
					w.set(func() { w.odd = nil })
					time.Sleep(10 * time.Minute)
					check("when all is well again")
				}
			})
		})
	}
}
