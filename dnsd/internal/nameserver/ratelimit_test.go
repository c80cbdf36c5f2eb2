package nameserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestRateLimitCountsByPrefixClassAndSecond(t *testing.T) {
	limit, err := RateLimit{PerSecond: 10, Slip: 3}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l := newLimiter(limit, newSipKey([16]byte{9}))
	pass := func(addr string, class answerClass, now uint32, n int) (passed, slipped int) {
		for range n {
			switch l.take(netip.MustParseAddr(addr), class, now) {
			case limitPass:
				passed++
			case limitSlip:
				slipped++
			}
		}
		return passed, slipped
	}
	if p, s := pass("192.0.2.1", classAnswer, 1, 40); p != 10 || s != 10 {
		t.Errorf("passed %d, slipped %d of 40", p, s)
	}
	if p, _ := pass("192.0.2.200", classAnswer, 1, 5); p != 0 {
		t.Error("a neighbour in the same /24 has a share of its own")
	}
	if p, _ := pass("192.0.3.1", classAnswer, 1, 5); p != 5 {
		t.Error("another /24 is limited with the first")
	}
	if p, _ := pass("192.0.2.1", classNegative, 1, 5); p != 5 {
		t.Error("negative answers count as answers")
	}
	if p, _ := pass("192.0.2.1", classAnswer, 2, 5); p != 5 {
		t.Error("the next second does not begin anew")
	}
	if p, _ := pass("2001:db8:0:ff01::1", classAnswer, 1, 15); p != 10 {
		t.Error("IPv6 is not limited")
	}
	if p, _ := pass("2001:db8:0:ffff::1", classAnswer, 1, 5); p != 0 {
		t.Error("a neighbour in the same /56 has a share of its own")
	}
	if p, _ := pass("2001:db8:1::1", classAnswer, 1, 5); p != 5 {
		t.Error("another /56 is limited with the first")
	}
	if p, _ := pass("198.51.100.1", classAnswer, 7, 200_000); p != 10 {
		t.Errorf("%d of 200,000 passed", p)
	}
}

func TestWhoProvedItsAddressIsNotLimited(t *testing.T) {
	cfg := Config{Zones: []Zone{{Zone: standard(t)}}, RateLimit: RateLimit{PerSecond: 2, Slip: 2}}
	r := responderFor(t, cfg)
	plain := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV)
	with := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, cookieOption([]byte("12345678")))
	var whole, slipped, silent int
	var good []byte
	for range 100 {
		switch m := answerTo(t, r, plain, overUDP); {
		case m == nil:
			silent++
		case m.Truncated:
			slipped++
			if len(m.Answer)+len(m.Ns)+len(m.Extra) != 0 {
				t.Fatal("a slipped answer holds records")
			}
		default:
			whole++
		}
	}
	if whole != 2 || slipped != 49 || silent != 49 {
		t.Errorf("%d whole, %d slipped, %d silent", whole, slipped, silent)
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
	if r.count.slipped.Load() == 0 || r.count.limited.Load() == 0 {
		t.Error("not counted")
	}
}

// A flood from forged addresses gets no more octets out than it sends in, once
// each prefix had its share.
func TestNoAmplificationBeyondTheShare(t *testing.T) {
	r := responderFor(t, Config{
		Zones: []Zone{{Zone: standard(t)}}, RateLimit: RateLimit{PerSecond: 5, Slip: 1},
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
	limit, _ := RateLimit{PerSecond: 100}.withDefaults()
	l := newLimiter(limit, newSipKey([16]byte{9}))
	from := netip.MustParseAddr("192.0.2.1")
	var n uint32
	for b.Loop() {
		n++
		l.take(from, classAnswer, n>>10)
	}
}
