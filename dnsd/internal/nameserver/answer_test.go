package nameserver

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var client = netip.MustParseAddr("192.0.2.1")

// wireQuery packs a query.
func wireQuery(t testing.TB, name string, qtype uint16, change ...func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.Id = 4711
	for _, f := range change {
		f(m)
	}
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answerTo lets a responder answer and unpacks the answer; nil if there is none.
func answerTo(t testing.TB, r *responder, packet []byte, tr transport) *dns.Msg {
	t.Helper()
	out := r.respond(nil, packet, client, tr)
	if len(out) == 0 {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatalf("answer cannot be read: %v\n% x", err, out)
	}
	return m
}

func TestHeaderRules(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	q := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV)
	withCounts := func(qd, an, ns, ar uint16) []byte {
		p := slices.Clone(q)
		for i, n := range []uint16{qd, an, ns, ar} {
			binary.BigEndian.PutUint16(p[4+2*i:], n)
		}
		return p
	}
	opcode := func(op byte) []byte {
		p := slices.Clone(q)
		p[2] = p[2]&0x87 | op<<3
		return p
	}
	opt := []byte{0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0}
	twoOPT := append(append(withCounts(1, 0, 0, 2), opt...), opt...)
	for name, c := range map[string]struct {
		packet []byte
		rcode  int // -1: no answer
	}{
		"plain":                       {q, dns.RcodeSuccess},
		"empty":                       {nil, -1},
		"shorter than a header":       {q[:11], -1},
		"a response":                  {func() []byte { p := slices.Clone(q); p[2] |= 0x80; return p }(), -1},
		"no question":                 {withCounts(0, 0, 0, 0)[:12], dns.RcodeFormatError},
		"two questions":               {withCounts(2, 0, 0, 0), dns.RcodeFormatError},
		"question cut":                {q[:20], dns.RcodeFormatError},
		"type cut":                    {q[:len(q)-3], dns.RcodeFormatError},
		"pointer in question":         {append(slices.Clone(q[:12]), 0xc0, 12, 0, 33, 0, 1), dns.RcodeFormatError},
		"an answer in a query":        {withCounts(1, 1, 0, 0), dns.RcodeFormatError},
		"authority in a query":        {withCounts(1, 0, 1, 0), dns.RcodeFormatError},
		"additional missing":          {withCounts(1, 0, 0, 1), dns.RcodeFormatError},
		"octets after the message":    {append(slices.Clone(q), 0), dns.RcodeFormatError},
		"two OPT":                     {twoOPT, dns.RcodeFormatError},
		"OPT not at the root":         {append(append(withCounts(1, 0, 0, 1), 1, 'x'), opt...), dns.RcodeFormatError},
		"EDNS option cut":             {append(append(withCounts(1, 0, 0, 1), opt[:9]...), 0, 3, 0, 10, 0), dns.RcodeFormatError},
		"cookie of 7 octets":          {append(append(withCounts(1, 0, 0, 1), opt[:9]...), 0, 11, 0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7), dns.RcodeFormatError},
		"IQUERY":                      {opcode(1), dns.RcodeNotImplemented},
		"STATUS":                      {opcode(2), dns.RcodeNotImplemented},
		"NOTIFY":                      {opcode(4), dns.RcodeNotImplemented},
		"UPDATE":                      {opcode(5), dns.RcodeNotImplemented},
		"DSO":                         {opcode(6), dns.RcodeNotImplemented},
		"opcode 15":                   {opcode(15), dns.RcodeNotImplemented},
		"class CHAOS":                 {wireQuery(t, "version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		"outside":                     {wireQuery(t, "example.com.", dns.TypeA), dns.RcodeRefused},
		"the root":                    {wireQuery(t, ".", dns.TypeNS), dns.RcodeRefused},
		"zone as a suffix of a label": {wireQuery(t, "xsvc.", dns.TypeA), dns.RcodeRefused},
		"zone's octets in a label":    {wireQuery(t, `x\003svc.`, dns.TypeA), dns.RcodeRefused},
		"unknown type":                {wireQuery(t, "_math._tcp.svc.", 65280), dns.RcodeSuccess},
		"no such name":                {wireQuery(t, "_nope._tcp.svc.", dns.TypeSRV), dns.RcodeNameError},
		"AXFR over UDP, not allowed":  {wireQuery(t, "svc.", dns.TypeAXFR), dns.RcodeRefused},
		"IXFR below the zone's name":  {wireQuery(t, "tcp.svc.", dns.TypeIXFR), dns.RcodeNotAuth},
	} {
		t.Run(name, func(t *testing.T) {
			m := answerTo(t, r, c.packet, overUDP)
			if c.rcode < 0 {
				if m != nil {
					t.Fatalf("answered:\n%v", m)
				}
				return
			}
			if m == nil {
				t.Fatal("no answer")
			}
			if m.Rcode != c.rcode {
				t.Errorf("rcode %s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[c.rcode])
			}
			if !m.Response || m.RecursionAvailable || m.Zero || m.AuthenticatedData {
				t.Errorf("flags: %v", m.MsgHdr.String())
			}
			if want := c.rcode == dns.RcodeSuccess || c.rcode == dns.RcodeNameError; m.Authoritative != want {
				t.Errorf("AA %t, want %t", m.Authoritative, want)
			}
			if m.Id != 4711 || m.Opcode != int(c.packet[2]>>3&0xF) {
				t.Errorf("id %d, opcode %d", m.Id, m.Opcode)
			}
		})
	}
}

func TestFlagsOfTheQueryAreEchoedAsTheRFCsSay(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	for _, on := range []bool{false, true} {
		m := answerTo(t, r, wireQuery(t, "svc.", dns.TypeSOA, func(m *dns.Msg) {
			m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData, m.Zero, m.Truncated, m.RecursionAvailable = on, on, on, on, on, on
			m.SetEdns0(1232, on)
		}), overUDP)
		if m.RecursionDesired != on || m.CheckingDisabled != on || m.IsEdns0().Do() != on {
			t.Errorf("RD %t, CD %t, DO %t: want %t", m.RecursionDesired, m.CheckingDisabled, m.IsEdns0().Do(), on)
		}
		if m.AuthenticatedData || m.Zero || m.Truncated || m.RecursionAvailable {
			t.Errorf("flags: %s", m.MsgHdr.String())
		}
	}
}

func TestQuestionCaseIsEchoedAndNamesStillCompress(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	lower := r.respond(nil, wireQuery(t, "_math._tcp.svc.", dns.TypeSRV), client, overUDP)
	mixed := r.respond(nil, wireQuery(t, "_MaTh._tCp.sVC.", dns.TypeSRV), client, overUDP)
	if !strings.Contains(string(mixed), "\x05_MaTh\x04_tCp\x03sVC") {
		t.Errorf("question not echoed as asked: %q", mixed)
	}
	if len(lower) != len(mixed) {
		t.Errorf("%d octets in lower case, %d in mixed case", len(lower), len(mixed))
	}
}

func TestEDNS(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}, NSID: "ns1", MaxUDP: 1400})
	if m := answerTo(t, r, wireQuery(t, "svc.", dns.TypeSOA), overUDP); m.IsEdns0() != nil {
		t.Error("OPT in the answer to a query without OPT")
	}
	m := answerTo(t, r, wireQuery(t, "svc.", dns.TypeSOA, edns(4096)), overUDP)
	if o := m.IsEdns0(); o == nil || o.UDPSize() != 1400 || o.Version() != 0 || len(o.Option) != 0 {
		t.Errorf("OPT: %v", o)
	}
	m = answerTo(t, r, wireQuery(t, "svc.", dns.TypeSOA, edns(4096), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }), overUDP)
	if m.Rcode != dns.RcodeBadVers || len(m.Answer) != 0 {
		t.Errorf("version 1: %v", m)
	}
	// The form of another version's options is not known.
	for name, options := range map[string]string{"half an option": "\x00\x0a\x00", "a short cookie": "\x00\x0a\x00\x01x"} {
		p := wireQuery(t, "svc.", dns.TypeSOA, edns(4096), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) })
		p[len(p)-1] = byte(len(options))
		if m := answerTo(t, r, append(p, options...), overUDP); m.Rcode != dns.RcodeBadVers {
			t.Errorf("version 1 with %s: %v", name, m)
		}
	}
	m = answerTo(t, r, wireQuery(t, "svc.", dns.TypeSOA, edns(4096), func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	}), overUDP)
	if o := m.IsEdns0().Option; len(o) != 1 || o[0].String() != hex.EncodeToString([]byte("ns1")) {
		t.Errorf("options: %v", o)
	}
	// RFC 6891 6.1.1: a query with OPT gets OPT, whatever the rcode is.
	for _, p := range [][]byte{
		wireQuery(t, "example.com.", dns.TypeA, edns(1232)),
		wireQuery(t, "svc.", dns.TypeSOA, edns(1232), func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }),
		append(wireQuery(t, "svc.", dns.TypeSOA, edns(1232)), 0),
	} {
		if m := answerTo(t, r, p, overUDP); m.IsEdns0() == nil {
			t.Errorf("no OPT: %v", m)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	for name, c := range map[string]struct {
		packet []byte
		code   uint16
	}{
		"outside":  {wireQuery(t, "example.com.", dns.TypeA, edns(1232)), dns.ExtendedErrorCodeNotAuthoritative},
		"class":    {wireQuery(t, "svc.", dns.TypeA, edns(1232), func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassHESIOD }), dns.ExtendedErrorCodeNotSupported},
		"transfer": {wireQuery(t, "svc.", dns.TypeAXFR, edns(1232)), dns.ExtendedErrorCodeProhibited},
	} {
		m := answerTo(t, r, c.packet, overUDP)
		opts := m.IsEdns0().Option
		if len(opts) != 1 || opts[0].(*dns.EDNS0_EDE).InfoCode != c.code {
			t.Errorf("%s: %v", name, opts)
		}
	}
}

// sizes are those that clients offer: none, some, below the minimum, above the
// maximum.
func TestSizes(t *testing.T) {
	const cap = 1232
	for _, n := range []int{1, 5, 9, 10, 20, 30, 60, 100, 500, 1000, 1600, 5000} {
		r := responderFor(t, Config{Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", n)...)}}})
		for _, size := range []int{0, 100, 512, 900, 1232, 4096, 65535} {
			t.Run(fmt.Sprintf("n=%d/size=%d", n, size), func(t *testing.T) {
				var change []func(*dns.Msg)
				limit := 512
				if size > 0 {
					change = append(change, edns(uint16(size)))
					limit = min(cap, max(size, 512))
				}
				p := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, change...)
				out := r.respond(nil, p, client, overUDP)
				if len(out) > limit {
					t.Fatalf("%d octets, limit %d", len(out), limit)
				}
				m := answerTo(t, r, p, overUDP)
				whole := len(m.Answer) == n
				if m.Truncated == whole {
					t.Errorf("TC %t with %d of %d records", m.Truncated, len(m.Answer), n)
				}
				if m.Truncated && len(m.Extra) > extraOPT(m) {
					t.Error("TC, but glue was kept")
				}
				over := answerTo(t, r, p, overTCP)
				if sampled := len(over.Answer) != n; over.Truncated != (sampled && size == 0) {
					t.Errorf("TC %t over TCP with %d of %d records: it is for those without EDNS who get a sample (RFC 2181 section 9)", over.Truncated, len(over.Answer), n)
				}
				if len(over.Answer) != n && size > 0 {
					ede, ok := over.IsEdns0().Option[0].(*dns.EDNS0_EDE)
					if !ok || !strings.Contains(ede.ExtraText, fmt.Sprintf("%d of %d", len(over.Answer), n)) {
						t.Errorf("%d of %d records, and nothing says so: %v", len(over.Answer), n, over.IsEdns0())
					}
				}
			})
		}
		if n == 5000 && r.count.sampled.Load() == 0 {
			t.Error("samples are not counted")
		}
	}
}

func extraOPT(m *dns.Msg) int {
	if m.IsEdns0() != nil {
		return 1
	}
	return 0
}

func TestGlueGoesFirstWithoutTC(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", 10)...)}}})
	m := answerTo(t, r, wireQuery(t, "_math._tcp.svc.", dns.TypeSRV), overUDP)
	if m.Truncated || len(m.Answer) != 10 || len(m.Extra) == 0 || len(m.Extra) == 10 {
		t.Errorf("TC %t, %d answers, %d additional", m.Truncated, len(m.Answer), len(m.Extra))
	}
}

func TestZonesAreFoundByLongestMatch(t *testing.T) {
	outer, inner := namedZone(t, "example.", instances("_math._tcp", 1)...), namedZone(t, "a.example.", instances("_calc._tcp", 1)...)
	r := responderFor(t, Config{Zones: []Zone{{Zone: outer}, {Zone: inner}}})
	for name, soa := range map[string]string{"x.example.": "example.", "x.a.example.": "a.example.", "a.example.": "a.example.", "aa.example.": "example."} {
		m := answerTo(t, r, wireQuery(t, name, dns.TypeNULL), overUDP)
		if len(m.Ns) != 1 || m.Ns[0].Header().Name != soa {
			t.Errorf("%s: %v", name, m)
		}
	}
	if _, err := newSettings(Config{Zones: []Zone{{Zone: outer}, {Zone: outer}}}, [16]byte{}); err == nil {
		t.Error("the same zone twice was accepted")
	}
}

func TestServFailForAPanic(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	set := *s.settings.Load()
	set.zones = append(slices.Clone(set.zones), zoneEntry{origin: "broken.", wire: []byte("\x06broken\x00")}) // without a zone: it panics
	s.settings.Store(&set)
	for _, network := range []string{"udp", "tcp"} {
		if m := ask(t, s, network, "x.broken.", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %v", network, m)
		}
		if m := ask(t, s, network, "svc.", dns.TypeSOA); m.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: the server did not go on: %v", network, m)
		}
	}
	if st := s.Stats(); st.Panics != 2 || st.Failed != 2 {
		t.Errorf("panics %d, failed %d", st.Panics, st.Failed)
	}
}
