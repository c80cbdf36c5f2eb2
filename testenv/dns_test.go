package testenv

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/register"
)

// The rows of docs/promises.md that are about DNS alone.

// A questioner asks over one UDP socket.
type questioner struct {
	t    *testing.T
	conn net.Conn
	buf  []byte
}

func newQuestioner(t *testing.T, addr string) *questioner {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &questioner{t, conn, make([]byte, 1<<16)}
}

func (q *questioner) query(name string, qtype uint16) []byte {
	q.t.Helper()
	packet, err := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, false).Pack()
	if err != nil {
		q.t.Fatal(err)
	}
	return packet
}

// ask sends the packet until an answer is there, and returns that.
func (q *questioner) ask(packet []byte) []byte {
	q.t.Helper()
	for range 10 {
		if _, err := q.conn.Write(packet); err != nil {
			q.t.Fatal(err)
		}
		q.conn.SetReadDeadline(time.Now().Add(patience / 10))
		if n, err := q.conn.Read(q.buf); err == nil {
			return q.buf[:n]
		}
	}
	q.t.Fatal("no answer")
	return nil
}

// least is the shortest time that an answer took.
func (q *questioner) least(packet []byte, tries int) time.Duration {
	q.t.Helper()
	least := patience
	for range tries {
		begin := time.Now()
		q.ask(packet)
		least = min(least, time.Since(begin))
	}
	return least
}

func TestACostlyQuestionIsAskedWithAForgedSource(t *testing.T) {
	const limit = 20
	env := New(t, Setup{Nodes: 1, Zone: dnsd.Zone{Bind: []string{"0.0.0.0:0"}, DNS: dnsd.DNS{RateLimit: limit}}})
	for n := range 2000 {
		env.Put(fmt.Sprintf("n%d", n), register.Registration{Host: "10.0.0.7", Port: uint16(1 + n), Lease: register.Duration(time.Minute)})
	}
	port := env.DNSD(0).DNSAddr().Port()

	t.Run("costs at most some plain ones", func(t *testing.T) {
		q := newQuestioner(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
		plain := q.query("n7._math._tcp.svc.", dns.TypeSRV)
		q.least(plain, 10)
		most := 20 * q.least(plain, 300)
		for _, name := range []string{"svc.", "_math._tcp.svc.", "math.tcp.svc.", "_services._dns-sd._udp.svc.", "ns.svc.", "none._math._tcp.svc."} {
			for _, qtype := range []uint16{dns.TypeANY, dns.TypeSRV, dns.TypeA, dns.TypePTR, dns.TypeNS, dns.TypeTXT, dns.TypeSOA} {
				packet := q.query(name, qtype)
				q.ask(packet) // a set is put together once after a change
				cost := q.least(packet, 20)
				for tries := 100; cost > most && tries < 10_000; tries *= 10 {
					cost = min(cost, q.least(packet, tries))
				}
				if cost > most {
					t.Errorf("%s %s: %v, and 20 plain ones are %v", name, dns.TypeToString[qtype], cost, most)
				}
			}
		}
	})

	t.Run("is answered in no more octets beyond the limit", func(t *testing.T) {
		host, ok := hostAddr()
		if !ok {
			t.Skip("this machine has no IPv4 address but loopback, which is never limited")
		}
		q := newQuestioner(t, netip.AddrPortFrom(host, port).String())
		packet := q.query("_math._tcp.svc.", dns.TypeSRV)
		begin, long, short := time.Now(), 0, 0
		for range 20 * limit {
			answer := q.ask(packet)
			if len(answer) > len(packet) {
				long++
				continue
			}
			short++
			if answer[2]&2 == 0 {
				t.Fatal("a short answer without TC")
			}
		}
		if most := limit * (2 + int(time.Since(begin)/time.Second)); long > most || short == 0 {
			t.Errorf("%d long answers and %d short ones, want at most %d long ones", long, short, most)
		}
	})
}

// hostAddr is an IPv4 address of this machine that is not loopback.
func hostAddr() (netip.Addr, bool) {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

func TestBindIsAWildcard(t *testing.T) {
	want, ok := hostAddr()
	if !ok {
		want = netip.MustParseAddr("127.0.0.1")
	}
	for _, bind := range []string{"0.0.0.0:0", "[::]:0"} {
		env := New(t, Setup{Nodes: -1, Zone: dnsd.Zone{Bind: []string{bind}}})
		q := newQuestioner(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), env.DNSD(0).DNSAddr().Port()).String())
		var m dns.Msg
		if err := m.Unpack(q.ask(q.query("ns.svc.", dns.TypeA))); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok {
				got = append(got, a.A.String())
			}
		}
		if !slices.Contains(got, want.String()) || ok && slices.ContainsFunc(got, func(a string) bool { return strings.HasPrefix(a, "127.") }) {
			t.Errorf("bind %s: the name server's addresses are %v, want %v among them", bind, got, want)
		}
	}
}
