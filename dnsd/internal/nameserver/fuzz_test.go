package nameserver

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// pair are two responders of one configuration: one from images, one from
// records.
func pair(t testing.TB) (images, byRecords *responder) {
	t.Helper()
	cfg := Config{
		Zones:         []Zone{{Zone: standard(t), Transfer: []Secondary{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, TSIG: testKeys}, {Zone: namedZone(t, "a.svc.")}, {Zone: absent(t, "new.svc.")}, {Zone: stale(t, "old.svc.", instances("_fifty._tcp", 50)...)}},
		NSID:          "ns1",
		CookieSecrets: []string{"000102030405060708090a0b0c0d0e0f"},
	}
	images, byRecords = responderFor(t, cfg), responderFor(t, cfg)
	byRecords.byRecords = true
	return images, byRecords
}

// seeds are packets of every kind that the server treats differently.
func seeds(t testing.TB) [][]byte {
	opt := func(options ...dns.EDNS0) func(*dns.Msg) {
		return func(m *dns.Msg) { m.SetEdns0(1232, true); m.IsEdns0().Option = options }
	}
	ixfr, err := new(dns.Msg).SetIxfr("svc.", 1, "ns.svc.", "hostmaster.svc.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	signed := new(dns.Msg).SetQuestion("svc.", dns.TypeSOA)
	signed.SetTsig("xfr.", dns.HmacSHA256, 300, 1_700_000_000)
	tsig, _, err := dns.TsigGenerate(signed, testSecret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{
		wireQuery(t, "_math._tcp.svc.", dns.TypeSRV),
		wireQuery(t, "_bIg._tCp.svc.", dns.TypeSRV, opt()),
		wireQuery(t, "_dual._udp.svc.", dns.TypeSRV, opt(&dns.EDNS0_NSID{Code: dns.EDNS0NSID})),
		wireQuery(t, "dual.udp.svc.", dns.TypeAAAA, cookieOption([]byte("12345678"))),
		wireQuery(t, "i1._math._tcp.svc.", dns.TypeTXT, edns(512)),
		wireQuery(t, "_services._dns-sd._udp.svc.", dns.TypePTR, edns(100)),
		wireQuery(t, "svc.", dns.TypeSOA, opt(&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}, &dns.EDNS0_PADDING{Padding: make([]byte, 3)})),
		wireQuery(t, "nope.tcp.svc.", dns.TypeANY),
		wireQuery(t, "hostmaster.svc.", dns.TypeA),
		wireQuery(t, "x.ns.svc.", dns.TypeA),
		wireQuery(t, "_math._tcp.a.svc.", dns.TypeSRV, edns(4096)),
		wireQuery(t, "svc.", dns.TypeAXFR),
		wireQuery(t, "_math._tcp.new.svc.", dns.TypeSRV),
		wireQuery(t, "ns.NEW.svc.", dns.TypeA, edns(512)),
		wireQuery(t, "new.svc.", dns.TypeSOA, cookieOption([]byte("12345678"))),
		wireQuery(t, "new.svc.", dns.TypeAXFR, edns(1232)),
		wireQuery(t, "_fifty._tcp.old.svc.", dns.TypeSRV),
		wireQuery(t, "_fifty._tcp.old.svc.", dns.TypeSRV, edns(512)),
		wireQuery(t, "fifty.tcp.old.svc.", dns.TypeA, edns(1232)),
		wireQuery(t, "nope.old.svc.", dns.TypeA, opt(&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_PADDING{Padding: make([]byte, 3)})),
		wireQuery(t, "example.com.", dns.TypeA, opt(&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")})),
		ixfr, tsig,
	}
}

// checkReply checks a reply against its query: it can be read, and is not longer than
// the client allows.
func checkReply(t testing.TB, r *responder, packet, reply []byte, tr transport) {
	t.Helper()
	if len(reply) == 0 {
		return
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply cannot be read: %v\nquery % x\nreply % x", err, packet, reply)
	}
	if !m.Response || m.Id != binary.BigEndian.Uint16(packet) || packet[2]&0x80 != 0 {
		t.Fatalf("not a reply to this: %v\nquery % x", m, packet)
	}
	if size := r.set.limit(&r.q, tr); len(reply) > size {
		t.Fatalf("a reply of %d octets, at most %d allowed\nquery % x", len(reply), size, packet)
	}
	if tr != overUDP && m.Truncated && m.IsEdns0() != nil {
		t.Fatalf("TC over TCP: %v", m)
	}
	if len(m.Question) > 0 && !bytes.Equal(reply[headerLen:r.q.end], packet[headerLen:r.q.end]) {
		t.Fatalf("the question is not echoed\nquery % x\nreply % x", packet, reply)
	}
	if r.q.edns != (m.IsEdns0() != nil) && m.IsTsig() == nil {
		t.Fatalf("OPT asked %t, answered %v\nquery % x", r.q.edns, m.IsEdns0(), packet)
	}
}

// FuzzServer answers any packet: it does not panic, the reply fits the query, and images
// and records give the same octets.
func FuzzServer(f *testing.F) {
	for _, p := range seeds(f) {
		f.Add(p, uint8(0))
		f.Add(p, uint8(1))
	}
	images, byRecords := pair(f)
	f.Fuzz(func(t *testing.T, packet []byte, over uint8) {
		tr := transport(over % 3)
		// A buffer as the UDP loop has it, with room and without.
		reply := images.respond(make([]byte, 0, 600), packet, client, tr)
		checkReply(t, images, packet, reply, tr)
		transfer := images.transfer != nil
		other := byRecords.respond(nil, packet, client, tr)
		if images.q.tsigAt > 0 {
			return // signed at different times
		}
		if !bytes.Equal(reply, other) || transfer != (byRecords.transfer != nil) {
			t.Fatalf("query % x\nimages  % x\nrecords % x", packet, reply, other)
		}
	})
}

// FuzzImagesGiveTheOctetsOfRecords: for well-formed queries of all kinds, which random
// octets seldom are.
func FuzzImagesGiveTheOctetsOfRecords(f *testing.F) {
	images, byRecords := pair(f)
	names := []string{
		"svc.", "tcp.svc.", "_tcp.svc.", "udp.svc.", "_udp.svc.", "_math._tcp.svc.", "math.tcp.svc.", "i1.math.tcp.svc.", "i1._math._tcp.svc.",
		"_dual._udp.svc.", "dual.udp.svc.", "i1.dual.udp.svc.", "i2.dual.udp.svc.", "i2._dual._udp.svc.", "_big._tcp.svc.", "big.tcp.svc.",
		"_services._dns-sd._udp.svc.", "_dns-sd._udp.svc.", "ns.svc.", "x.ns.svc.", "hostmaster.svc.", "x.hostmaster.svc.", "nope.svc.",
		"_nope._tcp.svc.", "x.i1.math.tcp.svc.", "a.svc.", "_math._tcp.a.svc.", "tcp.a.svc.", "ns.a.svc.", "x.", ".",
		"new.svc.", "_math._tcp.new.svc.", "ns.new.svc.", "old.svc.", "_fifty._tcp.old.svc.", "fifty.tcp.old.svc.", "i1._fifty._tcp.old.svc.", "_none._tcp.old.svc.",
	}
	f.Add(uint64(1), uint16(33), uint16(1232), uint16(0), "", true)
	f.Add(uint64(7), uint16(255), uint16(0), uint16(3), "\x01x", false)
	f.Fuzz(func(t *testing.T, seed uint64, qtype, size, option uint16, data string, tcp bool) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		name := names[rnd.IntN(len(names))]
		if rnd.IntN(4) == 0 && len(data) > 0 && len(data) < 60 {
			name = string(rune('a'+rnd.IntN(26))) + "." + name
		}
		m := new(dns.Msg).SetQuestion(mixCase(rnd, dns.Fqdn(name)), qtype)
		m.RecursionDesired, m.CheckingDisabled = seed&1 == 0, seed&2 == 0
		if size > 0 {
			m.SetEdns0(size, seed&4 == 0)
			if option > 0 && len(data) < 500 {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: option % 20, Data: []byte(data)}}
			}
		}
		packet, err := m.Pack()
		if err != nil {
			return
		}
		tr := overUDP
		if tcp {
			tr = overTCP
		}
		reply := images.respond(nil, packet, client, tr)
		checkReply(t, images, packet, reply, tr)
		if other := byRecords.respond(nil, packet, client, tr); !bytes.Equal(reply, other) {
			t.Fatalf("images and records differ for\n%v\nimages  % x\nrecords % x", m, reply, other)
		}
	})
}

// FuzzParse: miekg/dns reads what parse accepts in the same way.
func FuzzParse(f *testing.F) {
	for _, p := range seeds(f) {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		var q query
		if q.parse(packet) != parsed || q.end == headerLen {
			return
		}
		var m dns.Msg
		if m.Unpack(packet) != nil {
			return // the data of a record that parse skips is malformed
		}
		var wire [256]byte
		n, err := dns.PackDomainName(m.Question[0].Name, wire[:], 0, nil, false)
		if err != nil || !bytes.Equal(wire[:n], q.name) || m.Question[0].Qtype != q.qtype || m.Question[0].Qclass != q.qclass || m.Id != q.id {
			t.Fatalf("miekg/dns reads %v, parse %+v", m.Question, q)
		}
		if opt := m.IsEdns0(); (opt != nil) != q.edns {
			t.Fatalf("OPT %v, edns %t", opt, q.edns)
		} else if opt != nil && (opt.UDPSize() != q.size || opt.Version() != q.version || opt.Do() != q.do) {
			t.Fatalf("OPT %v, %+v", opt, q)
		}
		if (m.IsTsig() != nil) != (q.tsigAt > 0) {
			t.Fatalf("TSIG %v, %t", m.IsTsig(), q.tsigAt > 0)
		}
	})
}
