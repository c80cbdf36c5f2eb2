package nameserver

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
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
		s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}, TSIG: testKeys}}})
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
		peers []Peer
		key   string
		rcode int
	}{
		"nobody is named":            {nil, "xfr.", dns.RcodeRefused},
		"address":                    {[]Peer{{Prefix: loopback}}, "", dns.RcodeSuccess},
		"wrong address":              {[]Peer{{Prefix: elsewhere}}, "", dns.RcodeRefused},
		"key":                        {[]Peer{{Key: "XFR."}}, "xfr.", dns.RcodeSuccess},
		"no key":                     {[]Peer{{Key: "xfr."}}, "", dns.RcodeRefused},
		"another key":                {[]Peer{{Key: "xfr."}}, "long.", dns.RcodeRefused},
		"address and key":            {[]Peer{{Prefix: loopback, Key: "xfr."}}, "xfr.", dns.RcodeSuccess},
		"address without the key":    {[]Peer{{Prefix: loopback, Key: "xfr."}}, "", dns.RcodeRefused},
		"key from the wrong address": {[]Peer{{Prefix: elsewhere, Key: "xfr."}}, "xfr.", dns.RcodeRefused},
		"the second of two":          {[]Peer{{Prefix: elsewhere}, {Key: "xfr."}}, "xfr.", dns.RcodeSuccess},
		"notify alone":               {[]Peer{{Notify: netip.MustParseAddrPort("127.0.0.1:9")}}, "", dns.RcodeRefused},
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

func TestIXFR(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 20)...)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}, TSIG: testKeys}}})
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
	// A serial of before the journal, or from another life: the whole zone.
	if got := text(t, ask(begin-5)); !slices.Equal(got, contents(z)) {
		t.Error("the fall-back to AXFR is not the zone")
	}
	eventually(t, "the fall-back to be counted", func() bool { return s.Stats().IXFRFallback == 1 })
	for _, serial := range []uint32{z.Serial(), z.Serial() + 1} {
		m := new(dns.Msg).SetIxfr("svc.", serial, "ns.svc.", "hostmaster.svc.")
		c := dns.Client{Net: "tcp"}
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
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}}}})
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
	r := responderFor(t, Config{Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}}}})
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
		t.Errorf("%v", m)
	}
}

func TestQueriesPassATransferOnTheSameConnection(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 5000)...)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}}}})
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

func TestTSIGErrors(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t), TSIG: testKeys}}})
	sign := func(key, alg, secret string, at int64) []byte {
		m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
		m.SetTsig(key, alg, 300, at)
		p, _, err := dns.TsigGenerate(m, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	now := time.Now().Unix()
	other := base64.StdEncoding.EncodeToString([]byte("another secret"))
	for name, c := range map[string]struct {
		packet []byte
		rcode  int
		code   uint16
		signed bool
	}{
		"good":              {sign("XFR.", dns.HmacSHA256, testSecret, now), 0, 0, true},
		"unknown key":       {sign("nope.", dns.HmacSHA256, testSecret, now), dns.RcodeNotAuth, dns.RcodeBadKey, false},
		"another algorithm": {sign("xfr.", dns.HmacSHA512, testSecret, now), dns.RcodeNotAuth, dns.RcodeBadKey, false},
		"wrong secret":      {sign("xfr.", dns.HmacSHA256, other, now), dns.RcodeNotAuth, dns.RcodeBadSig, false},
		"wrong time":        {sign("xfr.", dns.HmacSHA256, testSecret, now-1000), dns.RcodeNotAuth, dns.RcodeBadTime, true},
	} {
		t.Run(name, func(t *testing.T) {
			var request dns.Msg
			if err := request.Unpack(c.packet); err != nil {
				t.Fatal(err)
			}
			out := r.respond(nil, c.packet, client, overUDP)
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatal(err)
			}
			ts := m.IsTsig()
			if ts == nil || m.Rcode != c.rcode || ts.Error != c.code || (ts.MACSize > 0) != c.signed {
				t.Fatalf("%v", m)
			}
			if c.rcode == 0 {
				if len(m.Answer) != 3 {
					t.Errorf("%v", m)
				}
				if err := dns.TsigVerify(out, testSecret, request.IsTsig().MAC, false); err != nil {
					t.Errorf("answer's signature: %v", err)
				}
			}
		})
	}
	// No error is longer than the client allows, however long the names it sent.
	label := strings.Repeat("a", 63) + "."
	long := label + label + label + label[20:]
	if out := r.respond(nil, sign(long, dns.HmacSHA256, testSecret, now), client, overUDP); len(out) == 0 || len(out) > 512 {
		t.Errorf("%d octets for a long key name", len(out))
	}
	m := new(dns.Msg).SetQuestion(long, dns.TypeSRV)
	m.SetTsig(long, dns.HmacSHA256, 300, now)
	packet, _, err := dns.TsigGenerate(m, testSecret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if out := r.respond(nil, packet, client, overUDP); len(out) == 0 || len(out) > 512 {
		t.Errorf("%d octets for long names", len(out))
	}
	// The signed answer keeps to the size, too.
	for _, n := range []int{9, 10, 30, 100} {
		r := responderFor(t, Config{Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", n)...), TSIG: testKeys}}})
		if out := r.respond(nil, sign("long.", dns.HmacSHA512, testSecret, now), client, overUDP); len(out) > 512 {
			t.Errorf("n=%d: %d octets", n, len(out))
		}
		if out := r.respond(nil, sign("xfr.", dns.HmacSHA256, testSecret, now), client, overTCP); len(out) < n*20 {
			t.Errorf("n=%d: %d octets over TCP", n, len(out))
		}
	}
}

func TestTransferGivesUpOnASlowSecondary(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 30_000)...)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}}}, TCP: TCPLimits{Write: 100 * time.Millisecond}})
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
		t.Error("nobody read, and the whole zone was sent")
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

func ExampleListen() {
	z, err := zone.New(zone.Config{Origin: "svc.", NSAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := Listen(Config{Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: z}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(strings.Split(s.Addrs()[0].String(), ":")[0])
	// Output: 127.0.0.1
}

func TestRefusedSignaturesDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	r := responderFor(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
	m.SetTsig("nope.", dns.HmacSHA256, 300, time.Now().Unix())
	packet, _, err := dns.TsigGenerate(m, testSecret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // minutes
		for range 1000 {
			r.respond(nil, packet, client, overUDP)
		}
		r.now += uint32(tellEvery / time.Second)
	}
	if n := strings.Count(log.String(), "TSIG refused"); n != 3 {
		t.Errorf("%d lines for 3 minutes", n)
	}
	if n := r.count.tsigErrors.Load(); n != 3000 {
		t.Errorf("%d counted", n)
	}
}
