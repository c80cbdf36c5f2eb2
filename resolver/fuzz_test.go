package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzReply feeds arbitrary messages to all that reads them. Nothing may panic,
// what comes out must be dialable, and whatever dns.Msg.Unpack understands must
// have been understood the same way.
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

// checkEndpoints holds what every State promises.
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

// compare holds a reply against the same message read by dns.Msg.
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
