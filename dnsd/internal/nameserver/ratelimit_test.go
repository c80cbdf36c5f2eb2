package nameserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestRateLimitCountsByPrefixClassAndSecond(t *testing.T) {
	l := newLimiter(RateLimit{PerSecond: 10}, newSipKey([16]byte{9}))
	pass := func(addr string, class answerClass, now uint32, n int) (passed int) {
		for range n {
			if l.take(netip.MustParseAddr(addr), class, []byte("same"), now) {
				passed++
			}
		}
		return passed
	}
	if p := pass("192.0.2.1", classAnswer, 1, 40); p != 10 {
		t.Errorf("%d of 40 equal answers passed", p)
	}
	if p := pass("192.0.2.200", classAnswer, 1, 5); p != 0 {
		t.Error("a neighbour in the same /24 has a share of its own")
	}
	if p := pass("192.0.3.1", classAnswer, 1, 5); p != 5 {
		t.Error("another /24 is limited with the first")
	}
	if p := pass("192.0.2.1", classNegative, 1, 5); p != 5 {
		t.Error("negative answers count as answers")
	}
	if p := pass("192.0.2.1", classAnswer, 2, 5); p != 5 {
		t.Error("the next second does not begin at zero")
	}
	if p := pass("2001:db8:0:ff01::1", classAnswer, 1, 15); p != 10 {
		t.Error("IPv6 is not limited")
	}
	if p := pass("2001:db8:0:ffff::1", classAnswer, 1, 5); p != 0 {
		t.Error("a neighbour in the same /56 has a share of its own")
	}
	if p := pass("2001:db8:1::1", classAnswer, 1, 5); p != 5 {
		t.Error("another /56 is limited with the first")
	}
	if p := pass("198.51.100.1", classAnswer, 7, 200_000); p != 10 {
		t.Errorf("%d of 200,000 passed", p)
	}
}

func TestAClientThatProvedItsAddressIsNotLimited(t *testing.T) {
	cfg := Config{Zones: []Zone{{Zone: standard(t)}}, RateLimit: RateLimit{PerSecond: 2}}
	r := responderFor(t, cfg)
	plain := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV)
	with := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, cookieOption([]byte("12345678")))
	var whole, slipped int
	var good []byte
	for range 100 {
		switch m := answerTo(t, r, plain, overUDP); {
		case m == nil:
			t.Fatal("a limited query got no answer")
		case m.Truncated:
			slipped++
			if len(m.Answer)+len(m.Ns)+len(m.Extra) != 0 {
				t.Fatal("a slipped answer holds records")
			}
		default:
			whole++
		}
	}
	if whole != 2 || slipped != 98 {
		t.Errorf("%d whole, %d slipped, want 2 and 98", whole, slipped)
	}
	// A client that knows cookies is told to use its cookie, in no more octets
	// than it sent plus the cookie.
	for range 4 {
		out := r.respond(nil, with, client, overUDP)
		if len(out) == 0 {
			continue
		}
		m := new(dns.Msg)
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if m.Rcode != dns.RcodeBadCookie || len(out) > len(with)+serverCookieLen {
			t.Errorf("%d octets for %d: %v", len(out), len(with), m)
		}
		good = cookieOf(t, m)
	}
	if good == nil {
		t.Fatal("no BADCOOKIE")
	}
	with = wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, cookieOption(good))
	for range 50 {
		if m := answerTo(t, r, with, overUDP); m == nil || m.Rcode != 0 || len(m.Answer) != 3 {
			t.Fatalf("limited with a good cookie: %v", m)
		}
		if m := answerTo(t, r, plain, overTCP); m == nil || len(m.Answer) != 3 {
			t.Fatalf("limited over TCP: %v", m)
		}
		if out := r.respond(nil, plain, netip.MustParseAddr("127.0.0.1"), overUDP); len(out) < 100 {
			t.Fatal("limited on loopback")
		}
	}
	if n := r.count.limited.Load(); n != 102 {
		t.Errorf("%d limited answers counted, want 102", n)
	}
}

// TestRateLimitIsOfEqualAnswers: 60 different questions get 60 answers, whatever the
// case of their names; random names below the zone count as one question; and a client
// that asks for everything in turn gets 16 times the limit.
func TestRateLimitIsOfEqualAnswers(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: testZone(t, fleet(300, 1)...)}}, RateLimit: RateLimit{PerSecond: 10}})
	whole := func(name string, qtype uint16) bool {
		return !answerTo(t, r, wireQuery(t, name, qtype), overUDP).Truncated
	}
	count := func(name string, qtype uint16, n int) (passed int) {
		for i := range n {
			if whole(fmt.Sprintf(name, i), qtype) {
				passed++
			}
		}
		return passed
	}
	if n := count("_s%d._tcp.svc.", dns.TypeSRV, 60); n != 60 {
		t.Errorf("%d of 60 different questions answered", n)
	}
	if n := count("_s%d._tcp.svc.", dns.TypePTR, 60); n != 60 {
		t.Errorf("%d of 60 of another type answered", n)
	}
	equal := 0
	for i := range 60 {
		name := []byte("_s7._tcp.svc.")
		if i%2 == 1 {
			name = bytes.ToUpper(name)
		}
		if whole(string(name), dns.TypeSRV) {
			equal++
		}
	}
	if equal != 9 { // one was among the 60
		t.Errorf("%d equal answers beside the first", equal)
	}
	if n := count("random%d.svc.", dns.TypeA, 60); n != 10 {
		t.Errorf("%d of 60 random names answered", n)
	}
	if n := count("random%d.example.", dns.TypeA, 60); n != 10 {
		t.Errorf("%d of 60 names elsewhere refused", n)
	}
	r.now++
	if n := count("_s%d._tcp.svc.", dns.TypeSRV, 300); n != 160 {
		t.Errorf("%d of 300 different questions answered", n)
	}
}

// TestTheDefaultLimitIsForTheInternet: a private network has no limit unless one is
// configured.
func TestTheDefaultLimitIsForTheInternet(t *testing.T) {
	zones := []Zone{{Zone: standard(t)}}
	plain := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV)
	for addr, want := range map[string][3]int{ // default, 300, none
		"127.0.0.1": {1000, 1000, 1000}, "::1": {1000, 1000, 1000},
		"10.1.2.3": {1000, 300, 1000}, "192.168.0.1": {1000, 300, 1000}, "100.64.0.1": {1000, 300, 1000}, "fd00::1": {1000, 300, 1000}, "fe80::1": {1000, 300, 1000},
		"203.0.113.7": {200, 300, 1000}, "2001:db8::1": {200, 300, 1000},
	} {
		for i, limit := range []int{0, 300, -1} {
			r := responderFor(t, Config{Zones: zones, RateLimit: RateLimit{PerSecond: limit}})
			whole := 0
			for range 1000 {
				m := new(dns.Msg)
				if err := m.Unpack(r.respond(nil, plain, netip.MustParseAddr(addr), overUDP)); err != nil {
					t.Fatal(err)
				}
				if !m.Truncated {
					whole++
				}
			}
			if whole != want[i] {
				t.Errorf("limit %d, from %s: %d answers of 1000, want %d", limit, addr, whole, want[i])
			}
		}
	}
}

// TestNoAmplificationBeyondTheShare: once each prefix had its share, a flood from
// forged addresses gets no more octets out than it sends in.
func TestNoAmplificationBeyondTheShare(t *testing.T) {
	r := responderFor(t, Config{
		Zones: []Zone{{Zone: standard(t)}}, RateLimit: RateLimit{PerSecond: 5},
		NSID: strings.Repeat("n", maxNSID),
	})
	plain := wireQuery(t, "_big._tcp.svc.", dns.TypeSRV, edns(1232))
	nsid := wireQuery(t, "_big._tcp.svc.", dns.TypeSRV, edns(1232), func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	})
	for i := range 20 {
		from, q := netip.MustParseAddr(fmt.Sprintf("198.51.%d.1", i)), plain
		if i%2 == 1 {
			q = nsid
		}
		var in, out int
		for n := range 200 {
			p := r.respond(nil, q, from, overUDP)
			if n >= 5 {
				in, out = in+len(q), out+len(p)
			}
		}
		if out > in {
			t.Errorf("%s: %d octets in, %d out", from, in, out)
		}
	}
}

func BenchmarkRateLimit(b *testing.B) {
	l := newLimiter(RateLimit{PerSecond: 100}, newSipKey([16]byte{9}))
	from := netip.MustParseAddr("192.0.2.1")
	var n uint32
	for b.Loop() {
		n++
		l.take(from, classAnswer, nil, n>>10)
	}
}
