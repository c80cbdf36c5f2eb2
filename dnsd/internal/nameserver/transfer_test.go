package nameserver

import (
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

var (
	testSecret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	testKeys   = map[string]Key{"xfr.": {Secret: testSecret}, "long.": {Algorithm: "hmac-sha512", Secret: testSecret}}
	loopback   = netip.MustParsePrefix("127.0.0.0/8")
)

// records fetches the zone as text, sorted, by AXFR.
func records(t testing.TB, addr string, change ...func(*dns.Transfer, *dns.Msg)) []string {
	t.Helper()
	m := new(dns.Msg).SetAxfr("svc.")
	return text(t, fetch(t, addr, m, change...))
}

func fetch(t testing.TB, addr string, m *dns.Msg, change ...func(*dns.Transfer, *dns.Msg)) []dns.RR {
	t.Helper()
	tr := new(dns.Transfer)
	for _, f := range change {
		f(tr, m)
	}
	ch, err := tr.In(m, addr)
	if err != nil {
		t.Fatal(err)
	}
	var out []dns.RR
	for e := range ch {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		out = append(out, e.RR...)
	}
	return out
}

// text is a transfer as sorted lines, the final SOA left out.
func text(t testing.TB, rrs []dns.RR) []string {
	t.Helper()
	if len(rrs) < 2 || rrs[0].String() != rrs[len(rrs)-1].String() {
		t.Fatalf("transfer does not begin and end with the SOA: %d records", len(rrs))
	}
	return lines(rrs[:len(rrs)-1])
}

func lines(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		out = append(out, rr.String())
	}
	sort.Strings(out)
	return out
}

// contents is the zone as text, sorted, without asking a server.
func contents(z *zone.Zone) []string {
	soa, rest := z.Transfer()
	return lines(append(slices.Collect(rest), soa))
}

// change applies one registration at the next revision.
func change(z *zone.Zone, revision uint64, old, now *registry.Instance) {
	z.Apply([]registry.Change{{Revision: revision, Time: time.Unix(int64(revision), 0), Old: old, New: now}})
}

func withKey(name string, alg string) func(*dns.Transfer, *dns.Msg) {
	return func(tr *dns.Transfer, m *dns.Msg) {
		tr.TsigSecret = map[string]string{name: testSecret}
		m.SetTsig(name, alg, 300, time.Now().Unix())
	}
}

func TestAXFRHoldsTheWholeZone(t *testing.T) {
	for _, n := range []int{0, 1, 200, 5000} { // 5,000 need many messages
		z := testZone(t, instances("_math._tcp", n)...)
		s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}, TSIG: testKeys}}})
		want := contents(z)
		if got := records(t, s.Addrs()[0].String()); !slices.Equal(got, want) {
			t.Errorf("n=%d: %d records, want %d", n, len(got), len(want))
		}
		for name, alg := range map[string]string{"xfr.": dns.HmacSHA256, "long.": dns.HmacSHA512} {
			if got := records(t, s.Addrs()[0].String(), withKey(name, alg)); !slices.Equal(got, want) {
				t.Errorf("n=%d, signed: %d records, want %d", n, len(got), len(want))
			}
		}
		eventually(t, "three transfers to be counted", func() bool { return s.Stats().AXFR == 3 })
	}
}

func TestTransferIsAllowedByAddressAndKey(t *testing.T) {
	z := standard(t)
	elsewhere := netip.MustParsePrefix("192.0.2.0/24")
	for name, c := range map[string]struct {
		peers []Secondary
		key   string
		rcode int
	}{
		"nobody is named":            {nil, "xfr.", dns.RcodeRefused},
		"address":                    {[]Secondary{{Prefix: loopback}}, "", dns.RcodeSuccess},
		"wrong address":              {[]Secondary{{Prefix: elsewhere}}, "", dns.RcodeRefused},
		"key":                        {[]Secondary{{Key: "XFR."}}, "xfr.", dns.RcodeSuccess},
		"no key":                     {[]Secondary{{Key: "xfr."}}, "", dns.RcodeRefused},
		"another key":                {[]Secondary{{Key: "xfr."}}, "long.", dns.RcodeRefused},
		"address and key":            {[]Secondary{{Prefix: loopback, Key: "xfr."}}, "xfr.", dns.RcodeSuccess},
		"address without the key":    {[]Secondary{{Prefix: loopback, Key: "xfr."}}, "", dns.RcodeRefused},
		"key from the wrong address": {[]Secondary{{Prefix: elsewhere, Key: "xfr."}}, "xfr.", dns.RcodeRefused},
		"the second of two":          {[]Secondary{{Prefix: elsewhere}, {Key: "xfr."}}, "xfr.", dns.RcodeSuccess},
		"notify alone":               {[]Secondary{{Notify: netip.MustParseAddrPort("127.0.0.1:9")}}, "", dns.RcodeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			r := responderFor(t, Config{Zones: []Zone{{Zone: z, Transfer: c.peers, TSIG: testKeys}}})
			m := new(dns.Msg).SetAxfr("svc.")
			p, err := m.Pack()
			if c.key != "" {
				m.SetTsig(c.key, map[string]string{"xfr.": dns.HmacSHA256, "long.": dns.HmacSHA512}[c.key], 300, time.Now().Unix())
				p, _, err = dns.TsigGenerate(m, testSecret, "", false)
			}
			if err != nil {
				t.Fatal(err)
			}
			out := r.respond(nil, p, netip.MustParseAddr("127.0.0.1"), overTCP)
			if (r.transfer != nil) != (c.rcode == dns.RcodeSuccess) {
				t.Fatalf("transfer %v", r.transfer)
			}
			if r.transfer == nil && int(out[3]&0xF) != c.rcode {
				t.Errorf("rcode %d", out[3]&0xF)
			}
		})
	}
}

func TestQueriesPassATransferOnTheSameConnection(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 5000)...)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}}}})
	c := dialTCP(t, s)
	axfr, err := new(dns.Msg).SetAxfr("svc.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	both := append(frame(axfr), frame(wireQuery(t, "svc.", dns.TypeNS))...)
	if _, err := c.Write(both); err != nil {
		t.Fatal(err)
	}
	records, passed := 0, false
	for soas := 0; soas < 2 || !passed; {
		m := readFrame(t, c)
		if m.Id == 4711 {
			passed = true
			continue
		}
		for _, rr := range m.Answer {
			records++
			if rr.Header().Rrtype == dns.TypeSOA {
				soas++
			}
		}
	}
	if want := len(contents(z)) + 1; records != want {
		t.Errorf("%d records, want %d", records, want)
	}
}

func TestTransferGivesUpOnASlowSecondary(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 30_000)...)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}}}}, writesWithin(100*time.Millisecond))
	c := dialTCP(t, s)
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	axfr, err := new(dns.Msg).SetAxfr("svc.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(frame(axfr)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the transfer", func() bool { return s.Stats().TransfersFailed+s.Stats().AXFR > 0 })
	if st := s.Stats(); st.AXFR > 0 {
		t.Error("the secondary did not read, and the whole zone was sent")
	}
}
