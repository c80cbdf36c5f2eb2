package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
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
