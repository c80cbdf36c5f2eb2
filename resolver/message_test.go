package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// FuzzReply reads arbitrary messages. Nothing may panic, endpoints must be dialable, and a
// message that dns.Msg.Unpack understands must have been understood in the same way.
func FuzzReply(f *testing.F) {
	query := new(dns.Msg).SetQuestion(mathTCP, dns.TypeSRV)
	query.Id = 7
	query.SetEdns0(udpSize, false)
	for _, h := range []handler{
		two(f), service(f, 40), zone(f, soa), rcode(dns.RcodeRefused),
		zone(f, mathTCP+" 5 IN CNAME b.svc.", "b.svc. 5 IN SRV 0 0 80 c.svc.", "c.svc. 5 IN AAAA 2001:db8::1"),
		zone(f, mathTCP+" 0 IN SRV 0 0 0 ."), zone(f, mathTCP+" 5 IN SRV 1 2 3 10.0.0.9."),
	} {
		f.Add(h("tcp", query)[0])
	}
	q := question{mathTCP, typeSRV}
	r := &Resolver{source: func(a netip.Addr) netip.Addr { return a }}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if !q.answeredBy(msg, 7) {
			return
		}
		rep, err := q.parse(msg)
		if err != nil {
			return
		}
		compare(t, q, rep, msg)
		if rep.truncated || rep.verdict(q) != verdictData {
			return
		}
		asm := assembly{r: r, q: q, prefer: preference{source: r.sourceOf()}, ttl: r.clamp(rep.ttl), hosts: map[string]*cached{}, now: time.Now()}
		for i, n := range rep.needs(before{}) { // found, not found, not asked for, in turn
			h := new(cached)
			switch i % 3 {
			case 0:
				h[v4].addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
			case 2:
				h[v4].err = errTooMany
			}
			asm.hosts[n.target] = h
		}
		for _, s := range rep.srvs {
			asm.add(s, rep.glue)
		}
		out := asm.outcome(rep, "192.0.2.53:53")
		if len(out.endpoints) > len(rep.srvs) || len(rep.srvs)+rep.bad != rep.records {
			t.Errorf("%d endpoints of %d good and %d bad of %d records", len(out.endpoints), len(rep.srvs), rep.bad, rep.records)
		}
		if out.vouched && (out.ttl < defaultMinTTL || out.ttl > defaultMaxTTL) {
			t.Errorf("TTL %v", out.ttl)
		}
		if (len(out.endpoints) == 0) != (out.err != nil) {
			t.Errorf("%d endpoints and the error %v", len(out.endpoints), out.err)
		}
		checkEndpoints(t, out.endpoints)
	})
}

// checkEndpoints checks what every State promises.
func checkEndpoints(t *testing.T, eps []Endpoint) {
	t.Helper()
	seen := map[string]bool{}
	for i, ep := range eps {
		for _, addr := range append([]string{ep.Addr}, ep.Alt...) {
			ap, err := netip.ParseAddrPort(addr)
			if err != nil || ap.Port() == 0 || !usable(ap.Addr()) {
				t.Errorf("address %q of %v cannot be dialled: %v", addr, ep, err)
			}
		}
		if seen[ep.Addr] || slices.Contains(ep.Alt, ep.Addr) {
			t.Errorf("%s twice", ep.Addr)
		}
		seen[ep.Addr] = true
		if !strings.HasSuffix(ep.Target, ".") || !isHostName(ep.Target) {
			t.Errorf("target %q", ep.Target)
		}
		if i > 0 && (eps[i-1].Priority > ep.Priority || eps[i-1].Priority == ep.Priority && eps[i-1].Addr > ep.Addr) {
			t.Errorf("%v before %v", eps[i-1], ep)
		}
	}
}

// compare compares a reply with the same message as dns.Msg reads it.
func compare(t *testing.T, q question, rep *reply, msg []byte) {
	t.Helper()
	m := new(dns.Msg)
	if m.Unpack(msg) != nil || m.Truncated || m.Rcode != dns.RcodeSuccess {
		return
	}
	var got, want []string
	for _, rr := range m.Answer {
		s, ok := rr.(*dns.SRV)
		if rr.Header().Rrtype == dns.TypeCNAME {
			return
		}
		if ok && s.Hdr.Class == dns.ClassINET && strings.EqualFold(s.Hdr.Name, q.name) && s.Target != "" {
			want = append(want, fmt.Sprint(s.Priority, s.Weight, s.Port, strings.ToLower(s.Target)))
		}
	}
	for _, s := range rep.srvs {
		got = append(got, fmt.Sprint(s.priority, s.weight, s.port, s.target))
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %q\nwant %q", got, want)
	}
}

func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	var r Resolver
	for _, name := range []string{"", ".", "a..b", strings.Repeat("a", 64) + ".svc", strings.Repeat("abcdefg.", 32)} {
		_, err := r.Lookup(t.Context(), name)
		if err == nil || !strings.HasPrefix(err.Error(), `resolver: lookup "`+name+`" SRV: `) {
			t.Errorf("Lookup(%q): %v", name, err)
		}
		for s := range r.Watch(t.Context(), name) {
			if s.Err == nil || s.Err.Error() != err.Error() {
				t.Errorf("Watch(%q): %v", name, s.Err)
			}
			break
		}
		r.Refresh(name)
		if _, ok := r.Cached(name); ok {
			t.Errorf("Cached(%q)", name)
		}
	}
}

// TestForgedPacketsArePassedOver: none of them may be believed, and none may end
// the wait for the true answer (RFC 5452).
func TestForgedPacketsArePassedOver(t *testing.T) {
	evil := zone(t, mathTCP+" 5 IN SRV 0 0 666 evil.svc.", "evil.svc. 5 IN A 10.6.6.6")
	forge := func(change func(m *dns.Msg)) handler {
		return func(network string, q *dns.Msg) [][]byte {
			m := new(dns.Msg)
			if err := m.Unpack(evil(network, q)[0]); err != nil {
				t.Error(err)
			}
			change(m)
			return pack(m)
		}
	}
	forgeries := map[string]handler{
		"another id":       forge(func(m *dns.Msg) { m.Id++ }),
		"another name":     forge(func(m *dns.Msg) { m.Question[0].Name = "_nath._tcp.svc." }),
		"another type":     forge(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }),
		"another class":    forge(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"a query":          forge(func(m *dns.Msg) { m.Response = false }),
		"another opcode":   forge(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
		"no question":      forge(func(m *dns.Msg) { m.Question = nil }),
		"two questions":    forge(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
		"NXDOMAIN without": forge(func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError }),
		"too short":        func(_ string, q *dns.Msg) [][]byte { return [][]byte{{byte(q.Id >> 8), byte(q.Id), 0x80}} },
		"a broken name": func(_ string, q *dns.Msg) [][]byte {
			return [][]byte{{byte(q.Id >> 8), byte(q.Id), 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63}}
		},
	}
	for name, forged := range forgeries {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				truth := two(t)
				_, r := one(func(network string, q *dns.Msg) [][]byte {
					out := forged(network, q)
					return append(append(out, out...), truth(network, q)...)
				})
				got, err := r.Lookup(t.Context(), mathTCP)
				if want := "10.0.0.1:8080 10.0.0.2:8080"; err != nil || addrs(got) != want {
					t.Errorf("%s (%v), want %s", addrs(got), err, want)
				}
			})
		})
	}
}

func TestQueryIDsAreNotPredictable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(two(t))
		for range 64 {
			r.Lookup(t.Context(), mathTCP)
			time.Sleep(10 * time.Second)
		}
		ids := map[uint16]bool{}
		steps := map[uint16]bool{}
		qs := s.asked("SRV")
		for i, q := range qs {
			ids[q.id] = true
			if i > 0 {
				steps[q.id-qs[i-1].id] = true
			}
		}
		if len(ids) < 60 || len(steps) < 60 {
			t.Errorf("%d ids and %d steps between them in 64 queries", len(ids), len(steps))
		}
	})
}

// TestABrokenRecordIsLeftOutAlone: a good set has records with RDATA that ends too early
// or too late.
func TestABrokenRecordIsLeftOutAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := one(func(_ string, q *dns.Msg) [][]byte {
			m := new(dns.Msg).SetReply(q)
			for i, rdata := range []string{
				"000000000050016100",       // 0 0 80 a.
				"0000000000",               // cut in the port
				"00000000005005616263",     // cut in the target
				"00000000005001620000",     // an octet too many
				"0000000000504162",         // a label type that does not exist
				"000000000050c0ff",         // a pointer past the end
				"0000000000500163000000ff", // more too many
				"",                         // no octet at all
				"000000000050016400",       // 0 0 80 d.
			} {
				m.Answer = append(m.Answer, &dns.RFC3597{
					Hdr:   dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: uint32(100 - i)},
					Rdata: rdata,
				})
			}
			for i, host := range []string{"a.", "b.", "c.", "d."} {
				a, err := dns.NewRR(fmt.Sprintf("%s 60 IN A 10.0.0.%d", host, i+1))
				if err != nil {
					t.Error(err)
				}
				m.Extra = append(m.Extra, a)
			}
			for _, rdata := range []string{"", "0a0000", "0a00000001"} { // addresses of 0, 3 and 5 octets
				m.Extra = append(m.Extra, &dns.RFC3597{
					Hdr:   dns.RR_Header{Name: "a.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
					Rdata: rdata,
				})
			}
			return pack(m)
		})
		got, err := r.Lookup(t.Context(), mathTCP)
		if want := "10.0.0.1:80 10.0.0.4:80"; err != nil || addrs(got) != want {
			t.Errorf("%s (%v), want %s", addrs(got), err, want)
		}
	})
}

// RDATA that ends early says nothing, wherever it ends and whatever comes after it.
func TestRDATAThatEndsEarly(t *testing.T) {
	t.Parallel()
	for _, last := range []bool{true, false} {
		for _, text := range []string{
			mathTCP + " 5 IN SRV 1 2 3 a1.svc.", mathTCP + " 5 IN CNAME b.svc.", "a1.svc. 5 IN A 10.0.0.1", "a1.svc. 5 IN AAAA 2001:db8::1",
			"svc. 5 IN SOA ns.svc. hostmaster.svc. 1 2 3 4 5",
		} {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			m := new(dns.Msg).SetQuestion(mathTCP, dns.TypeSRV)
			m.Response = true
			section := &m.Answer
			switch rr.(type) {
			case *dns.SOA:
				section = &m.Ns
			case *dns.A, *dns.AAAA:
				section = &m.Extra
			}
			before, _ := m.Pack()
			*section = append(*section, rr)
			whole, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			const fixed = 10
			_, off, err := dns.UnpackDomainName(whole, len(before))
			if err != nil {
				t.Fatal(err)
			}
			rdata := whole[off+fixed:]
			for n := range len(rdata) + 1 {
				msg := slices.Clone(whole[:off+fixed+n])
				msg[off+8], msg[off+9] = byte(n>>8), byte(n)
				if !last { // the octets that are missing follow, as the begin of a TXT record of the root
					msg = append(msg, 0, 0, byte(dns.TypeTXT), 0, dns.ClassINET, 0, 0, 0, 5, 0, 0)
					msg[11]++
				}
				rep, err := question{mathTCP, typeSRV}.parse(msg)
				if err != nil {
					t.Fatalf("%s, %d octets: %v", text, n, err)
				}
				if got := len(rep.srvs) > 0 || rep.alias != mathTCP || len(rep.glue) > 0 || rep.soa; got != (n == len(rdata)) {
					t.Errorf("%s, %d of %d octets, last %v: believed %v", text, n, len(rdata), last, got)
				}
			}
		}
	}
}
