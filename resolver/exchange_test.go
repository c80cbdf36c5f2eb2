package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// service gives n instances with glue.
func service(t testing.TB, n int) handler {
	t.Helper()
	records := []string{soa}
	for i := range n {
		records = append(records,
			fmt.Sprintf("%s 5 IN SRV 10 100 8080 i%d.math.tcp.svc.", mathTCP, i),
			fmt.Sprintf("i%d.math.tcp.svc. 5 IN A 10.0.%d.%d", i, i/250, i%250+1))
	}
	return zone(t, records...)
}

// byNetwork answers by two handlers.
func byNetwork(udp, tcp handler) handler {
	return func(network string, q *dns.Msg) [][]byte {
		if network == "udp" {
			return udp(network, q)
		}
		return tcp(network, q)
	}
}

// spoiled gives the replies of a handler as f leaves them.
func spoiled(h handler, f func(reply []byte) [][]byte) handler {
	return func(network string, q *dns.Msg) [][]byte {
		var out [][]byte
		for _, reply := range h(network, q) {
			out = append(out, f(reply)...)
		}
		return out
	}
}

// TestWhatComesByUDPMayNeedTCP: each way in which UDP is not enough (RFC 7766).
func TestWhatComesByUDPMayNeedTCP(t *testing.T) {
	for _, tt := range []struct {
		name      string
		udp       handler
		instances int
	}{
		{"truncated, with a part of the answer in it (pjproject#2200)", service(t, 200), 200},
		{"truncated to nothing", func(_ string, q *dns.Msg) [][]byte {
			m := new(dns.Msg).SetReply(q)
			m.Truncated = true
			return pack(m)
		}, 2},
		{"cut off", spoiled(service(t, 2), func(b []byte) [][]byte { return [][]byte{b[:len(b)-3]} }), 2},
		{"a count that promises more", spoiled(service(t, 2), func(b []byte) [][]byte { b[7]++; return [][]byte{b} }), 2},
		{"more than anybody asked for", spoiled(service(t, 2), func(b []byte) [][]byte {
			return [][]byte{append(b, make([]byte, maxUDP)...)}
		}), 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(byNetwork(tt.udp, service(t, tt.instances)))
				got, err := r.Lookup(t.Context(), mathTCP)
				if err != nil || len(got.Endpoints) != tt.instances {
					t.Errorf("%d endpoints (%v), want %d", len(got.Endpoints), err, tt.instances)
				}
				if q := s.asked("SRV"); len(q) != 2 || q[0].network != "udp" || q[1].network != "tcp" {
					t.Errorf("asked %+v, want by UDP, then by TCP", q)
				}
			})
		})
	}
}

// TestAPartOfTheFleetIsNeverTheFleet: truncated over UDP and no TCP is a failure,
// however many records came along.
func TestAPartOfTheFleetIsNeverTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := one(byNetwork(service(t, 200), silence))
		got, err := r.Lookup(t.Context(), mathTCP)
		if want := "resolver: lookup _math._tcp.svc. SRV @ns1:53: truncated over UDP, then no answer over TCP within 2s"; err == nil || err.Error() != want {
			t.Errorf("%v, %v\nwant %s", addrs(got), err, want)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v is no timeout", err)
		}
	})
}

func TestAThousandInstancesOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := one(service(t, 1000))
		got, err := r.Lookup(t.Context(), mathTCP)
		if err != nil || len(got.Endpoints) != 1000 {
			t.Errorf("%d endpoints, %v", len(got.Endpoints), err)
		}
	})
}

// TestForgedPacketsArePassedOver: none of them may be believed, and none may end
// the wait for the true answer (RFC 5452).
func TestForgedPacketsArePassedOver(t *testing.T) {
	evil := zone(t, mathTCP+" 5 IN SRV 0 0 666 evil.svc.", "evil.svc. 5 IN A 10.6.6.6")
	forge := func(change func(m *dns.Msg)) handler {
		return func(network string, q *dns.Msg) [][]byte {
			m := new(dns.Msg)
			if err := m.Unpack(evil(network, q)[0]); err != nil {
				t.Error(err)
			}
			change(m)
			return pack(m)
		}
	}
	forgeries := map[string]handler{
		"another id":       forge(func(m *dns.Msg) { m.Id++ }),
		"another name":     forge(func(m *dns.Msg) { m.Question[0].Name = "_nath._tcp.svc." }),
		"another type":     forge(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }),
		"another class":    forge(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"a query":          forge(func(m *dns.Msg) { m.Response = false }),
		"another opcode":   forge(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
		"no question":      forge(func(m *dns.Msg) { m.Question = nil }),
		"two questions":    forge(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
		"NXDOMAIN without": forge(func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError }),
		"too short":        func(_ string, q *dns.Msg) [][]byte { return [][]byte{{byte(q.Id >> 8), byte(q.Id), 0x80}} },
		"a broken name": func(_ string, q *dns.Msg) [][]byte {
			return [][]byte{{byte(q.Id >> 8), byte(q.Id), 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63}}
		},
	}
	for name, forged := range forgeries {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				truth := two(t)
				_, r := one(func(network string, q *dns.Msg) [][]byte {
					out := forged(network, q)
					return append(append(out, out...), truth(network, q)...)
				})
				got, err := r.Lookup(t.Context(), mathTCP)
				if want := "10.0.0.1:8080 10.0.0.2:8080"; err != nil || addrs(got) != want {
					t.Errorf("%s (%v), want %s", addrs(got), err, want)
				}
			})
		})
	}
}

func TestQueryIDsAreNotPredictable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(two(t))
		for range 64 {
			r.Lookup(t.Context(), mathTCP)
			time.Sleep(10 * time.Second)
		}
		ids := map[uint16]bool{}
		steps := map[uint16]bool{}
		qs := s.asked("SRV")
		for i, q := range qs {
			ids[q.id] = true
			if i > 0 {
				steps[q.id-qs[i-1].id] = true
			}
		}
		if len(ids) < 60 || len(steps) < 60 {
			t.Errorf("%d ids and %d steps between them in 64 queries", len(ids), len(steps))
		}
	})
}

func TestALostPacketCostsAQuarterOfTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := two(t)
		var n atomic.Int32
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			if n.Add(1) == 1 {
				return nil
			}
			return answer(network, q)
		})
		begin := time.Now()
		if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 500*time.Millisecond {
			t.Errorf("took %v, want 500ms", took)
		}
		if q := s.asked("SRV"); q[0].id != q[1].id {
			t.Error("sent again under another id: a late answer to the first would be lost")
		}
	})
}

func TestAServerWithoutEDNSIsAskedWithout(t *testing.T) {
	for _, code := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented} {
		synctest.Test(t, func(t *testing.T) {
			answer := two(t)
			s, r := one(func(network string, q *dns.Msg) [][]byte {
				if q.IsEdns0() != nil {
					m := new(dns.Msg).SetRcode(q, code)
					m.Question = nil // as old servers do
					return pack(m)
				}
				return answer(network, q)
			})
			if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
				t.Errorf("%s: %v, %v", dns.RcodeToString[code], got, err)
			}
			if q := s.asked("SRV"); len(q) != 2 || q[0].edns == 0 || q[1].edns != 0 {
				t.Errorf("%s: asked %+v", dns.RcodeToString[code], q)
			}
		})
	}
}

// TestAServerThatFailsIsLeftForTheNext, and the one that answered is asked first
// from then on.
func TestAServerThatFailsIsLeftForTheNext(t *testing.T) {
	referral := func(_ string, q *dns.Msg) [][]byte {
		m := new(dns.Msg).SetReply(q)
		ns, err := dns.NewRR(". 60 IN NS a.root-servers.net.")
		if err != nil {
			t.Fatal(err)
		}
		m.Ns = append(m.Ns, ns)
		return pack(m)
	}
	for _, tt := range []struct {
		name string
		h    handler
		took time.Duration
	}{
		{"silent", silence, 2 * time.Second},
		{"SERVFAIL", rcode(dns.RcodeServerFailure), 0},
		{"REFUSED", rcode(dns.RcodeRefused), 0},
		{"NOTAUTH", rcode(dns.RcodeNotAuth), 0},
		{"FORMERR", rcode(dns.RcodeFormatError), 0},
		{"a referral", referral, 0},
		{"broken", spoiled(two(t), func(b []byte) [][]byte { return [][]byte{b[:len(b)-1]} }), 0},
		{"another question over TCP", byNetwork(
			func(_ string, q *dns.Msg) [][]byte { m := new(dns.Msg).SetReply(q); m.Truncated = true; return pack(m) },
			func(_ string, q *dns.Msg) [][]byte { m := new(dns.Msg).SetReply(q); m.Id++; return pack(m) },
		), 0},
		{"not there", nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := newServer(two(t))
				n := fakeNet{"ns2:53": good}
				if tt.h != nil {
					n["ns1:53"] = newServer(tt.h)
				}
				r := n.client("ns1", "ns2")
				for i, took := range []time.Duration{tt.took, 0, 0} {
					begin := time.Now()
					got, err := r.Lookup(t.Context(), mathTCP)
					if err != nil || len(got.Endpoints) != 2 || time.Since(begin) != took {
						t.Errorf("lookup %d: %v, %v after %v, want %v", i, got, err, time.Since(begin), took)
					}
					time.Sleep(10 * time.Second)
				}
			})
		})
	}
}

// TestTheErrorNamesEveryServer and what it said.
func TestTheErrorNamesEveryServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakeNet{"ns1:53": newServer(silence), "ns2:53": newServer(rcode(dns.RcodeRefused))}
		begin := time.Now()
		_, err := n.client("ns1", "ns2", "ns3").Lookup(t.Context(), mathTCP)
		want := "resolver: lookup _math._tcp.svc. SRV: @ns1:53: no answer over UDP or TCP within 2s; @ns2:53: the server refuses to answer: it does not serve this zone (REFUSED); @ns3:53: connection refused over UDP and TCP: is dnsd running there?"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrNoSuchName) {
			t.Errorf("%v: wrong class", err)
		}
		// Only the silent one is asked a second time.
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("took %v, want 4s", took)
		}
		if q := len(n["ns2:53"].asked("SRV")); q != 1 {
			t.Errorf("the server that refused was asked %d times", q)
		}
	})
}

// TestABrokenRecordIsLeftOutAlone: RDATA that ends early, or late, in the middle
// of a good set.
func TestABrokenRecordIsLeftOutAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := one(func(_ string, q *dns.Msg) [][]byte {
			m := new(dns.Msg).SetReply(q)
			for i, rdata := range []string{
				"000000000050016100",       // 0 0 80 a.
				"0000000000",               // cut in the port
				"00000000005005616263",     // cut in the target
				"00000000005001620000",     // an octet too many
				"0000000000504162",         // a label type that does not exist
				"000000000050c0ff",         // a pointer past the end
				"0000000000500163000000ff", // more too many
				"",                         // no octet at all
				"000000000050016400",       // 0 0 80 d.
			} {
				m.Answer = append(m.Answer, &dns.RFC3597{
					Hdr:   dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: uint32(100 - i)},
					Rdata: rdata,
				})
			}
			for i, host := range []string{"a.", "b.", "c.", "d."} {
				a, err := dns.NewRR(fmt.Sprintf("%s 60 IN A 10.0.0.%d", host, i+1))
				if err != nil {
					t.Error(err)
				}
				m.Extra = append(m.Extra, a)
			}
			for _, rdata := range []string{"", "0a0000", "0a00000001"} { // addresses of 0, 3 and 5 octets
				m.Extra = append(m.Extra, &dns.RFC3597{
					Hdr:   dns.RR_Header{Name: "a.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
					Rdata: rdata,
				})
			}
			return pack(m)
		})
		got, err := r.Lookup(t.Context(), mathTCP)
		if want := "10.0.0.1:80 10.0.0.4:80"; err != nil || addrs(got) != want {
			t.Errorf("%s (%v), want %s", addrs(got), err, want)
		}
	})
}

func TestServersMayBeWrittenWithoutAPort(t *testing.T) {
	t.Parallel()
	got := withPorts([]string{"127.0.0.1:5300", "192.0.2.1", "ns.example.com", "::1", "[::1]", "[::1]:5300", "fe80::1%eth0"}, "53")
	want := "127.0.0.1:5300 192.0.2.1:53 ns.example.com:53 [::1]:53 [::1]:53 [::1]:5300 [fe80::1%eth0]:53"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TestTimeEndsInTheMiddleOfTheServers: the error says how far it came, and why it
// ended.
func TestTimeEndsInTheMiddleOfTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakeNet{"ns2:53": newServer(rcode(dns.RcodeServerFailure)), "ns3:53": newServer(silence)}
		r := n.client("ns1", "ns2", "ns3")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := r.ask(ctx, question{mathTCP, typeSRV}, must(r.way()), false)
		want := "resolver: lookup _math._tcp.svc. SRV: @ns1:53: connection refused over UDP and TCP: is dnsd running there?; @ns2:53: the server failed (SERVFAIL); @ns3:53: context deadline exceeded"
		if err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

func TestAStreamThatEndsEarlyIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for cut, want := range map[int]string{
			0: "reading the reply over TCP: EOF",
			1: "reading the reply over TCP: unexpected EOF",
			9: "reading the reply over TCP: 7 of 200 octets: unexpected EOF",
		} {
			r := &Resolver{Servers: []string{"ns1"}, Dial: func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer server.Close()
					_, _ = server.Read(make([]byte, 512))
					_, _ = server.Write(append([]byte{0, 200}, make([]byte, 200)...)[:cut])
				}()
				return client, nil
			}}
			_, err := r.exchange(t.Context(), "ns1:53", question{mathTCP, typeSRV}, must(r.way()), true)
			if err == nil || err.Error() != want {
				t.Errorf("cut after %d octets: %v, want %s", cut, err, want)
			}
		}
	})
}
