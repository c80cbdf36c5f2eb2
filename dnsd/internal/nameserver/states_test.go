package nameserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// absent makes a zone without content.
func absent(t testing.TB, origin string) *zone.Zone {
	t.Helper()
	z, err := zone.New(zone.Config{Origin: origin, NSAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Absent: true})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// stale makes a zone that may be out of date.
func stale(t testing.TB, origin string, ins ...*registry.Instance) *zone.Zone {
	t.Helper()
	z := namedZone(t, origin, ins...)
	z.SetStale(true)
	return z
}

// extendedErrors are the codes of the Extended DNS Errors in a message.
func extendedErrors(m *dns.Msg) (codes []uint16) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				codes = append(codes, e.InfoCode)
			}
		}
	}
	return codes
}

// TestAZoneWithoutContentIsNotReady over every transport, for queries and transfers, and
// is as any other after its first Load. A zone beside it is as always.
func TestAZoneWithoutContentIsNotReady(t *testing.T) {
	cert := testCertificate(t)
	z := absent(t, "svc.")
	to := []Secondary{{Prefix: loopback}}
	s := start(t, Config{
		Zones: []Zone{{Zone: z, Transfer: to, TSIG: testKeys}, {Zone: namedZone(t, "beside.", instances("_math._tcp", 3)...), Transfer: to}},
		TLS:   TLS{Addrs: []string{"127.0.0.1:0"}, Config: cert.server},
	})
	ixfr := func(m *dns.Msg) {
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "svc.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns.svc.", Mbox: "x.svc."}}
	}
	plain, signed := func(*dns.Msg) {}, func(m *dns.Msg) { m.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix()) }
	transports := map[string]string{"udp": s.Addrs()[0].String(), "tcp": s.Addrs()[0].String(), "tcp-tls": s.TLSAddrs()[0].String()}
	exchange := func(network, name string, qtype uint16, change ...func(*dns.Msg)) *dns.Msg {
		t.Helper()
		m := new(dns.Msg).SetQuestion(name, qtype)
		for _, f := range change {
			f(m)
		}
		c := dns.Client{Net: network, TLSConfig: cert.client, Timeout: 20 * time.Second, TsigSecret: map[string]string{"xfr.": testSecret}}
		r, _, err := c.Exchange(m, transports[network])
		if err != nil {
			t.Fatalf("%s %s %s: %v", network, name, dns.TypeToString[qtype], err)
		}
		return r
	}
	for network := range transports {
		for _, q := range []struct {
			name   string
			qtype  uint16
			change func(*dns.Msg)
		}{
			{"_math._tcp.svc.", dns.TypeSRV, plain},
			{"i0.math.tcp.svc.", dns.TypeA, plain},
			{"svc.", dns.TypeSOA, plain},
			{"svc.", dns.TypeNS, plain},
			{"svc.", dns.TypeSOA, signed},
			{"nobody.svc.", dns.TypeANY, plain},
			{"svc.", dns.TypeAXFR, plain},
			{"svc.", dns.TypeAXFR, signed},
			{"svc.", dns.TypeIXFR, ixfr},
		} {
			for _, opt := range []bool{false, true} {
				what := fmt.Sprintf("%s %s over %s, EDNS %t", q.name, dns.TypeToString[q.qtype], network, opt)
				var want []uint16
				with := plain
				if opt {
					want, with = []uint16{dns.ExtendedErrorCodeNotReady}, edns(1232)
				}
				r := exchange(network, q.name, q.qtype, with, q.change)
				if r.Rcode != dns.RcodeServerFailure || r.Authoritative || len(r.Answer)+len(r.Ns) > 0 || !slices.Equal(extendedErrors(r), want) {
					t.Errorf("%s: %v", what, r)
				}
			}
		}
		if r := exchange(network, "_math._tcp.beside.", dns.TypeSRV, edns(1232)); len(r.Answer) != 3 || extendedErrors(r) != nil {
			t.Errorf("the zone beside, over %s: %v", network, r)
		}
	}
	st := s.Stats()
	if st.Failed != 0 || st.TransfersRefused != 0 {
		t.Errorf("counted as faults: %+v", st)
	}
	z.Load(7, slices.Values(instances("_math._tcp", 2)), nil)
	for network := range transports {
		if r := exchange(network, "_math._tcp.svc.", dns.TypeSRV, edns(1232)); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 2 || !r.Authoritative || extendedErrors(r) != nil {
			t.Errorf("after Load, over %s: %v", network, r)
		}
	}
	if got := text(t, fetch(t, s.Addrs()[0].String(), new(dns.Msg).SetAxfr("svc."))); !slices.Equal(got, contents(z)) {
		t.Errorf("after Load the transfer is %q", got)
	}
}

// TestNoNotifyForAZoneWithoutContent: a secondary that was told of serial 0 would ask for
// a zone that is not there. It hears of the first Load.
func TestNoNotifyForAZoneWithoutContent(t *testing.T) {
	z := absent(t, "svc.")
	sec := newSecondary(t, nil, accept)
	to := []Secondary{{Notify: sec.addr}}
	start(t, Config{Zones: []Zone{{Zone: z, Transfer: to}, {Zone: namedZone(t, "beside."), Transfer: to}}})
	if m := sec.next(t); m.Question[0].Name != "beside." {
		t.Fatalf("NOTIFY of a zone without content: %v", m)
	}
	z.Load(7, slices.Values(instances("_math._tcp", 2)), nil)
	if m := sec.next(t); m.Question[0].Name != "svc." || m.Answer[0].(*dns.SOA).Serial != 7 {
		t.Errorf("NOTIFY after the first Load: %v", m)
	}
}

// TestStaleChangesNothingElse: at every size of an answer, its octets are those of a zone
// that is not stale, and the Extended DNS Error after them if there is room.
func TestStaleChangesNothingElse(t *testing.T) {
	ins := slices.Concat(instances("_ten._tcp", 10), instances("_fifty._tcp", 50), instances("_huge._tcp", 2000))
	to := []Secondary{{Prefix: netip.PrefixFrom(client, client.BitLen())}}
	fresh := responderFor(t, Config{Zones: []Zone{{Zone: testZone(t, ins...), Transfer: to}}, NSID: "ns1", RateLimit: RateLimit{PerSecond: -1}})
	old := responderFor(t, Config{Zones: []Zone{{Zone: stale(t, "svc.", ins...), Transfer: to}}, NSID: "ns1", RateLimit: RateLimit{PerSecond: -1}})
	nsid := func(m *dns.Msg) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	}
	ways := []func(*dns.Msg){func(*dns.Msg) {}, nsid}
	for size := range 1300 - minUDP {
		ways = append(ways, edns(uint16(minUDP+size)))
	}
	said, left := 0, 0
	for name, qtype := range map[string]uint16{
		"_ten._tcp.svc.": dns.TypeSRV, "_fifty._tcp.svc.": dns.TypeSRV, "fifty.tcp.svc.": dns.TypeA, "_huge._tcp.svc.": dns.TypeSRV,
		"svc.": dns.TypeSOA, "i0._ten._tcp.svc.": dns.TypeTXT, "nobody.svc.": dns.TypeA,
	} {
		for _, tr := range []transport{overUDP, overTCP} {
			for _, way := range ways {
				packet := wireQuery(t, name, qtype, way)
				want := fresh.respond(nil, packet, client, tr)
				got := old.respond(nil, packet, client, tr)
				checkReply(t, old, packet, got, tr)
				option := []byte{0, byte(dns.EDNS0EDE), 0, 2, 0, byte(dns.ExtendedErrorCodeStaleAnswer)}
				if want[3]&0xf == dns.RcodeNameError {
					option[5] = byte(dns.ExtendedErrorCodeStaleNXDOMAINAnswer)
				}
				switch room := fresh.set.limit(&fresh.q, tr) - len(want); {
				case !fresh.q.edns || room < len(option):
					left++
					if !bytes.Equal(got, want) {
						t.Fatalf("%s: %d octets of room, and the answers differ\nfresh % x\nstale % x", name, room, want, got)
					}
				default:
					said++
					// Only the length of the options differs, and their end.
					n := optAt(t, want) + 9
					want[n], want[n+1] = byte((len(want)-n-2+len(option))>>8), byte(len(want)-n-2+len(option))
					if !bytes.Equal(got, append(want, option...)) {
						t.Fatalf("%s: the answers differ\nfresh % x\nstale % x", name, want, got)
					}
				}
			}
		}
	}
	if said == 0 || left < 20 {
		t.Errorf("%d answers said that they are stale, %d did not", said, left)
	}
	// An answer can be both a sample and stale.
	m := answerTo(t, old, wireQuery(t, "_huge._tcp.svc.", dns.TypeSRV, edns(1232)), overTCP)
	if got := extendedErrors(m); !slices.Equal(got, []uint16{dns.ExtendedErrorCodeOther, dns.ExtendedErrorCodeStaleAnswer}) || m.Truncated {
		t.Errorf("a sample of a stale zone says %v, TC %t", got, m.Truncated)
	}
	old.set.zones[0].zone.SetStale(false)
	if m := answerTo(t, old, wireQuery(t, "svc.", dns.TypeSOA, edns(1232)), overUDP); extendedErrors(m) != nil {
		t.Errorf("not stale any more: %v", m)
	}
}

// optAt returns where the OPT record of a message begins.
func optAt(t *testing.T, msg []byte) int {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(msg); err != nil {
		t.Fatal(err)
	}
	return len(msg) - dns.Len(m.IsEdns0())
}

// TestTransfersOfAStaleZoneAreAsAlways, over TCP, and over UDP, where the SOA alone says
// that there is more.
func TestTransfersOfAStaleZoneAreAsAlways(t *testing.T) {
	ins := instances("_math._tcp", 20)
	to := []Secondary{{Prefix: netip.PrefixFrom(client, client.BitLen())}}
	var sent [2][]byte
	for i, z := range []*zone.Zone{testZone(t, ins...), stale(t, "svc.", ins...)} {
		change(z, 21, ins[3], nil)
		r := responderFor(t, Config{Zones: []Zone{{Zone: z, Transfer: to}}})
		for _, m := range []*dns.Msg{new(dns.Msg).SetAxfr("svc."), new(dns.Msg).SetIxfr("svc.", 20, "ns.svc.", "hostmaster.svc.")} {
			m.Id = 1
			m.SetEdns0(1232, false)
			packet, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			sent[i] = append(sent[i], r.respond(nil, packet, client, overUDP)...)
			if r.respond(nil, packet, client, overTCP); r.transfer == nil {
				t.Fatalf("no transfer: %v", m)
			}
			if _, err := r.transfer.send(t.Context(), func(p []byte) error { sent[i] = append(sent[i], p...); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(sent[0], sent[1]) {
		t.Errorf("fresh % x\nstale % x", sent[0], sent[1])
	}
}

// TestDigShowsTheState: people see both errors by name.
func TestDigShowsTheState(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: absent(t, "new.")}, {Zone: stale(t, "old.", instances("_math._tcp", 3)...)}}})
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"_math._tcp.new.", "SRV"}, []string{"status: SERVFAIL", "EDE: 14 (Not Ready)"}},
		{[]string{"new.", "SOA", "+tcp"}, []string{"status: SERVFAIL", "EDE: 14 (Not Ready)"}},
		{[]string{"_math._tcp.new.", "SRV", "+noedns"}, []string{"status: SERVFAIL", "ANSWER: 0"}},
		{[]string{"_math._tcp.old.", "SRV"}, []string{"status: NOERROR", "ANSWER: 3", "EDE: 3 (Stale Answer)"}},
		{[]string{"nobody.old.", "A"}, []string{"status: NXDOMAIN", "EDE: 19 (Stale NXDOMAIN Answer)"}},
		{[]string{"_math._tcp.old.", "SRV", "+noedns"}, []string{"status: NOERROR", "ANSWER: 3"}},
	} {
		out := dig(t, s, tc.args...)
		for _, want := range tc.want {
			if !strings.Contains(out, want) {
				t.Errorf("dig %v does not show %q:\n%s", tc.args, want, out)
			}
		}
		if slices.Contains(tc.args, "+noedns") && strings.Contains(out, "EDE") {
			t.Errorf("dig %v shows an Extended DNS Error:\n%s", tc.args, out)
		}
	}
}
