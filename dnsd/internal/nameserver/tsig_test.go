package nameserver

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// xfr is the key of testKeys.
func xfr(t testing.TB) *tsigKey {
	t.Helper()
	keys, err := parseKeys(testKeys)
	if err != nil {
		t.Fatal(err)
	}
	return keys["xfr."]
}

// signedQuery is a packet with a TSIG record that is valid, apart from what bend does.
func signedQuery(t testing.TB, packet []byte, sign func(*tsigRecord), bend func(*tsigRecord)) []byte {
	t.Helper()
	key := xfr(t)
	r := key.record(packet)
	if sign != nil {
		sign(&r)
	}
	r.mac = key.digest(nil, packet, r.appendVariables(nil))
	if bend != nil {
		bend(&r)
	}
	return r.appendTo(bytes.Clone(packet), 0)
}

// TestTSIGOfEveryKind: RFC 8945 section 5.2 in its order. A request that is not
// malformed gets OPT if it had OPT (RFC 6891 section 7).
func TestTSIGOfEveryKind(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t), TSIG: testKeys}}})
	query := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, edns(1232))
	now := uint64(time.Now().Unix())
	cut := func(n int) func(*tsigRecord) {
		return func(t *tsigRecord) { t.mac = append(bytes.Clone(t.mac), make([]byte, 64)...)[:n] }
	}
	at := func(time uint64, fudge uint16) func(*tsigRecord) {
		return func(t *tsigRecord) { t.time, t.fudge = time, fudge }
	}
	class := func(packet []byte, class byte) []byte {
		packet = bytes.Clone(packet)
		packet[len(query)+len("\x03xfr\x00")+3] = class
		return packet
	}
	empty := append(bytes.Clone(query), "\x03xfr\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00"...)
	binary.BigEndian.PutUint16(empty[10:], 2)

	type want struct {
		rcode, code int
		record      bool // there is a TSIG record
		signed      bool
	}
	good := want{dns.RcodeSuccess, 0, true, true}
	formerr := want{dns.RcodeFormatError, 0, false, false}
	badsig := want{dns.RcodeNotAuth, dns.RcodeBadSig, true, false}
	badkey := want{dns.RcodeNotAuth, dns.RcodeBadKey, true, false}
	badtime := want{dns.RcodeNotAuth, dns.RcodeBadTime, true, true}
	badtrunc := want{dns.RcodeNotAuth, dns.RcodeBadTrunc, true, true}
	for name, c := range map[string]struct {
		packet []byte
		want   want
	}{
		"good":                 {signedQuery(t, query, nil, nil), good},
		"another ID":           {func() []byte { p := signedQuery(t, query, nil, nil); p[0] ^= 1; return p }(), good}, // a forwarder's
		"fudge 0":              {signedQuery(t, query, at(now+1, 0), nil), badtime},
		"fudge 65535":          {signedQuery(t, query, at(now-60_000, 65535), nil), good},
		"time of the future":   {signedQuery(t, query, at(now+1000, 300), nil), badtime},
		"no time":              {signedQuery(t, query, at(0, 300), nil), badtime},
		"last of times":        {signedQuery(t, query, at(1<<48-1, 65535), nil), badtime},
		"fudge bent":           {signedQuery(t, query, nil, func(t *tsigRecord) { t.fudge = 301 }), badsig},
		"MAC bent":             {signedQuery(t, query, nil, func(t *tsigRecord) { t.mac[31] ^= 1 }), badsig},
		"MAC of 0 octets":      {signedQuery(t, query, nil, cut(0)), formerr},
		"MAC of 1":             {signedQuery(t, query, nil, cut(1)), formerr},
		"MAC of 9":             {signedQuery(t, query, nil, cut(9)), formerr},
		"MAC of 10":            {signedQuery(t, query, nil, cut(10)), formerr},
		"MAC of 15":            {signedQuery(t, query, nil, cut(15)), formerr},
		"MAC of 16":            {signedQuery(t, query, nil, cut(16)), badtrunc},
		"MAC of 31":            {signedQuery(t, query, nil, cut(31)), badtrunc},
		"MAC of 33":            {signedQuery(t, query, nil, cut(33)), formerr},
		"MAC of 64":            {signedQuery(t, query, nil, cut(64)), formerr},
		"MAC of 16, bent":      {signedQuery(t, query, nil, func(t *tsigRecord) { t.mac = t.mac[:16]; t.mac[0] ^= 1 }), badsig},
		"MAC of 16, late":      {signedQuery(t, query, at(now-1000, 300), cut(16)), badtime},
		"unknown key":          {signedQuery(t, query, nil, func(t *tsigRecord) { t.owner = []byte("\x01x\x00") }), badkey},
		"another algorithm":    {signedQuery(t, query, nil, func(t *tsigRecord) { t.method = wireName(dns.HmacSHA512) }), badkey},
		"key in capitals":      {signedQuery(t, query, nil, func(t *tsigRecord) { t.owner = []byte("\x03XFR\x00") }), good},
		"class IN":             {class(signedQuery(t, query, nil, nil), 1), formerr},
		"no data":              {empty, formerr},
		"a zone not here":      {signedQuery(t, wireQuery(t, "example.com.", dns.TypeA, edns(1232)), nil, nil), badkey},
		"octets left":          {append(signedQuery(t, query, nil, nil), 0), formerr},
		"other longer than it": {func() []byte { p := signedQuery(t, query, nil, nil); p[len(p)-1] = 1; return p }(), formerr},
	} {
		for _, tr := range []transport{overUDP, overTCP} {
			request := bytes.Clone(c.packet)
			out := r.respond(nil, request, client, tr)
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := want{rcode: m.Rcode, record: m.IsTsig() != nil}
			if ts := m.IsTsig(); ts != nil {
				got.code, got.signed = int(ts.Error), ts.MACSize > 0
			}
			if got != c.want {
				t.Errorf("%s: %+v, want %+v\n%v", name, got, c.want, m)
			}
			if m.IsEdns0() == nil {
				t.Errorf("%s: no OPT", name)
			}
			if got == good && dns.TsigVerify(out, testSecret, macOf(t, request), false) != nil {
				t.Errorf("%s: the answer's signature is wrong", name)
			}
		}
	}
	// A fudge of 0 is valid, if the clocks agree to the second.
	eventually(t, "an answer in the second of the question", func() bool {
		p := signedQuery(t, query, at(uint64(time.Now().Unix()), 0), nil)
		m := answerTo(t, r, p, overUDP)
		if m.IsTsig().Error == dns.RcodeBadSig {
			t.Fatal("a request with fudge 0 was refused")
		}
		return m.Rcode == dns.RcodeSuccess
	})
}

// macOf is the MAC of a request, in the form that miekg/dns wants.
func macOf(t testing.TB, packet []byte) string {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	return m.IsTsig().MAC
}

// TestNotImplementedIsSigned: RFC 8945 section 5.3, for UPDATE from hosts and NOTIFY from
// a primary that takes dnsd for a secondary.
func TestNotImplementedIsSigned(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t), TSIG: testKeys}}})
	update := new(dns.Msg).SetUpdate("svc.")
	update.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "a.svc.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{10, 0, 0, 1}}})
	for name, m := range map[string]*dns.Msg{"UPDATE": update, "NOTIFY": new(dns.Msg).SetNotify("svc.")} {
		m.SetEdns0(1232, false)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		request := signedQuery(t, packet, nil, nil)
		out := r.respond(nil, request, client, overUDP)
		reply := new(dns.Msg)
		if err := reply.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if reply.Rcode != dns.RcodeNotImplemented || reply.Opcode != m.Opcode || reply.IsTsig() == nil || reply.IsEdns0() == nil {
			t.Errorf("%s: %v", name, reply)
		} else if err := dns.TsigVerify(out, testSecret, macOf(t, request), false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wrong := signedQuery(t, packet, nil, func(t *tsigRecord) { t.mac[0] ^= 1 })
		if reply := answerTo(t, r, wrong, overUDP); reply.Rcode != dns.RcodeNotAuth || reply.IsTsig().Error != dns.RcodeBadSig {
			t.Errorf("%s with a wrong MAC: %v", name, reply)
		}
	}
}

// TestAKeyIsGoodForItsZoneOnly: two zones may have keys of one name, and neither key
// gives access to the other zone.
func TestAKeyIsGoodForItsZoneOnly(t *testing.T) {
	other := "b3RoZXIgc2VjcmV0IG9mIGFub3RoZXIgem9uZQ=="
	peers := []Secondary{{Key: "xfr."}}
	zones := []Zone{
		{Zone: namedZone(t, "a."), Transfer: peers, TSIG: testKeys},
		{Zone: namedZone(t, "b."), Transfer: peers, TSIG: map[string]Key{"xfr.": {Secret: other}}},
		{Zone: namedZone(t, "c."), Transfer: []Secondary{{Prefix: loopback}}},
	}
	for _, zones := range [][]Zone{zones, {zones[1], zones[0], zones[2]}} {
		s := start(t, Config{Zones: zones})
		for zone, secrets := range map[string]map[string]int{
			"a.": {testSecret: dns.RcodeSuccess, other: dns.RcodeNotAuth},
			"b.": {testSecret: dns.RcodeNotAuth, other: dns.RcodeSuccess},
			"c.": {testSecret: dns.RcodeNotAuth, other: dns.RcodeNotAuth},
		} {
			for secret, want := range secrets {
				c := dns.Client{Net: "tcp", TsigSecret: map[string]string{"xfr.": secret}, Timeout: 20 * time.Second}
				m := new(dns.Msg).SetAxfr(zone)
				m.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
				reply, _, err := c.Exchange(m, s.Addrs()[0].String())
				if reply == nil || reply.Rcode != want {
					t.Errorf("zone %s: %v, %v, want %s", zone, reply, err, dns.RcodeToString[want])
				}
			}
		}
	}
	_, err := newSettings(Config{Zones: []Zone{{Zone: namedZone(t, "c."), Transfer: peers}, zones[0]}}, [16]byte{})
	if err == nil || !strings.Contains(err.Error(), `zone c.: Transfer[0]: no TSIG key is named xfr.`) {
		t.Errorf("a transfer by a key of another zone: %v", err)
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
				t.Fatalf("answered %v", m)
			}
			if c.rcode == 0 {
				if len(m.Answer) != 3 {
					t.Errorf("a good signature is answered %v", m)
				}
				if err := dns.TsigVerify(out, testSecret, request.IsTsig().MAC, false); err != nil {
					t.Errorf("answer's signature: %v", err)
				}
			}
		})
	}
	// No error is longer than the client allows, however long the names in its request are.
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
	// A signed answer is no longer than that, either.
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
		t.Errorf("%d log lines in 3 minutes", n)
	}
	if n := r.count.tsigErrors.Load(); n != 3000 {
		t.Errorf("%d refusals counted, want 3000", n)
	}
}
