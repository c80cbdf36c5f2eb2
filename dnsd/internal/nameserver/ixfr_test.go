package nameserver

import (
	"net/netip"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestIXFR(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 20)...)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}, TSIG: testKeys}}})
	addr := s.Addrs()[0].String()
	begin := z.Serial()
	before := contents(z)
	for i := range 10 {
		change(z, uint64(begin)+1+uint64(i), nil, instance("_math._tcp", 100+i))
	}
	change(z, uint64(begin)+11, instance("_math._tcp", 3), nil)

	ask := func(serial uint32, opts ...func(*dns.Transfer, *dns.Msg)) []dns.RR {
		return fetch(t, addr, new(dns.Msg).SetIxfr("svc.", serial, "ns.svc.", "hostmaster.svc."), opts...)
	}
	for name, opts := range map[string][]func(*dns.Transfer, *dns.Msg){"plain": nil, "signed": {withKey("xfr.", dns.HmacSHA256)}} {
		t.Run(name, func(t *testing.T) {
			got, want := applyIXFR(t, before, ask(begin, opts...)), contents(z)
			if !slices.Equal(got, want) {
				t.Errorf("%d records after IXFR, want %d", len(got), len(want))
			}
		})
	}
	eventually(t, "two transfers to be counted", func() bool { return s.Stats().IXFR == 2 })
	// A serial from before the journal, or from another life: the whole zone.
	if got := text(t, ask(begin-5)); !slices.Equal(got, contents(z)) {
		t.Error("the fall-back to AXFR is not the zone")
	}
	eventually(t, "the fall-back to be counted", func() bool { return s.Stats().IXFRFallback == 1 })
	for _, serial := range []uint32{z.Serial(), z.Serial() + 1} {
		m := new(dns.Msg).SetIxfr("svc.", serial, "ns.svc.", "hostmaster.svc.")
		c := dns.Client{Net: "tcp", Timeout: 20 * time.Second}
		r, _, err := c.Exchange(m, addr)
		if err != nil || len(r.Answer) != 1 || r.Answer[0].(*dns.SOA).Serial != z.Serial() {
			t.Errorf("up to date: %v %v", r, err)
		}
	}
}

// applyIXFR does what a secondary does (RFC 1995 4).
func applyIXFR(t testing.TB, lines []string, rrs []dns.RR) []string {
	t.Helper()
	have := make(map[string]bool)
	for _, l := range lines {
		have[l] = true
	}
	if len(rrs) < 4 {
		t.Fatalf("not an incremental transfer: %v", rrs)
	}
	adding := true
	for i, rr := range rrs[1 : len(rrs)-1] {
		if _, ok := rr.(*dns.SOA); ok {
			if i == 0 || adding {
				adding = false
			} else {
				adding = true
			}
		}
		if l := rr.String(); adding {
			if have[l] {
				t.Errorf("added twice: %s", l)
			}
			have[l] = true
		} else {
			if !have[l] {
				t.Errorf("removed, but not there: %s", l)
			}
			delete(have, l)
		}
	}
	var out []string
	for l := range have {
		out = append(out, l)
	}
	sort.Strings(out)
	return out
}

func TestIXFRAcrossTheSerialWrap(t *testing.T) {
	z := testZone(t)
	const top = 1<<33 - 2 // the low 32 bits are about to wrap
	z.Load(top, slices.Values(instances("_math._tcp", 3)), nil)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}}}})
	before, begin := contents(z), z.Serial()
	for i := range 5 {
		change(z, top+1+uint64(i), nil, instance("_math._tcp", 100+i))
	}
	if z.Serial() > 10 {
		t.Fatalf("serial %d did not wrap", z.Serial())
	}
	rrs := fetch(t, s.Addrs()[0].String(), new(dns.Msg).SetIxfr("svc.", begin, "ns.svc.", "hostmaster.svc."))
	if got := applyIXFR(t, before, rrs); !slices.Equal(got, contents(z)) {
		t.Error("IXFR across the wrap does not give the zone")
	}
}

func TestIXFROverUDP(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 20)...)
	begin := z.Serial()
	r := responderFor(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}}}})
	ask := func(serial uint32) *dns.Msg {
		m := new(dns.Msg).SetIxfr("svc.", serial, "ns.svc.", "hostmaster.svc.")
		m.SetEdns0(1232, false)
		p, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return answerTo(t, r, p, overUDP)
	}
	change(z, uint64(begin)+1, nil, instance("_math._tcp", 100))
	if m := ask(begin); len(m.Answer) != 1 || m.Truncated || m.Answer[0].(*dns.SOA).Serial != z.Serial() {
		t.Errorf("the SOA alone makes the client come over TCP: %v", m)
	}
	if m := ask(z.Serial()); len(m.Answer) != 1 {
		t.Errorf("up to date: %v", m)
	}
	m := new(dns.Msg).SetAxfr("svc.")
	m.Question[0].Qtype = dns.TypeIXFR // without the client's SOA
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if m := answerTo(t, r, p, overUDP); m.Rcode != dns.RcodeFormatError {
		t.Errorf("IXFR without a SOA: %v", m)
	}
}

func TestNewerIsRFC1982(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want bool
	}{{2, 1, true}, {1, 2, false}, {1, 1, false}, {0, 1<<32 - 1, true}, {1<<32 - 1, 0, false}, {1 << 31, 1, true}} {
		if newer(c.a, c.b) != c.want {
			t.Errorf("newer(%d, %d) = %t", c.a, c.b, !c.want)
		}
	}
}
