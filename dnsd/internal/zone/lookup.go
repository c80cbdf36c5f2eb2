package zone

import (
	"iter"
	"slices"

	"github.com/miekg/dns"
)

// Answer is the zone's answer to one question, section by section. The
// records may be shared: copy one before changing it.
type Answer struct {
	Rcode      int
	Answer     []dns.RR // one whole record set, or a sample of it
	Authority  []dns.RR // the SOA, when there is no answer
	Additional []dns.RR // addresses of the targets; may be dropped from the end (RFC 2181 section 9)

	// Sampled and Total are set when the record set is larger than a message
	// can be: Answer holds a weighted sample of Sampled records out of Total.
	Sampled, Total int
	first          []dns.RR // the first records of the set; sent with TC if the sample does not fit
}

// Lookup answers a question of class IN, for a name in presentation form, in
// any case. A name outside of the zone is refused. SERVFAIL means that the zone has no
// content yet. This is the readable path: it builds every record each time; AppendAnswer
// gives the same from ready images.
//
// ANY is answered with one record set of the name (RFC 8482 section 4.1).
func (z *Zone) Lookup(qname string, qtype uint16) Answer {
	var buf [maxName]byte
	name := fold(&buf, wireName(dns.Fqdn(qname)))
	if len(name) == 0 {
		return Answer{Rcode: dns.RcodeFormatError}
	}
	p := placeOf(name, z.wire)
	if p.at == outside {
		return Answer{Rcode: dns.RcodeRefused}
	}
	if z.absent.Load() {
		return Answer{Rcode: dns.RcodeServerFailure}
	}
	v := z.current.Load() // after absent: the first content, and not what was there before
	if p.at == apex {
		return z.atApex(v, qtype)
	}
	if text, _, err := dns.UnpackDomainName(name, 0); err == nil {
		if rrs, ok := z.static[text]; ok {
			return v.atStatic(rrs, qtype)
		}
	}
	return z.content.lookup(v, name, qtype)
}

// empty is the answer without a record: NODATA for a name that exists, NXDOMAIN for
// one that does not, and then no name below it exists either (RFC 8020). Both carry
// the SOA with the negative TTL (RFC 2308 section 3).
func (v *version) empty(exists bool) Answer {
	soa := *v.soa
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	a := Answer{Rcode: dns.RcodeNameError, Authority: []dns.RR{&soa}}
	if exists {
		a.Rcode = dns.RcodeSuccess
	}
	return a
}

// hasProtocol tells whether _tcp or _udp has names below it. The list of
// services lies below _udp.
func (v *version) hasProtocol(udp bool) bool {
	return v.names[btoi(udp)] > 0 || udp && v.services.n > 0
}

func (z *Zone) atApex(v *version, qtype uint16) Answer {
	switch qtype {
	case dns.TypeSOA, dns.TypeANY:
		return Answer{Answer: []dns.RR{v.soa}}
	case dns.TypeNS:
		a := Answer{Answer: z.static[z.origin]}
		for _, ns := range a.Answer {
			if host := ns.(*dns.NS).Ns; host != z.origin {
				a.Additional = append(a.Additional, z.static[host]...)
			}
		}
		return a
	}
	return v.empty(true)
}

// atService answers at _math._tcp.svc.
func (z *Zone) atService(v *version, p place, qtype uint16) Answer {
	s := v.find(p.udp, p.name)
	if s == nil {
		// The list of services lies below _dns-sd._udp.
		return v.empty(p.udp && string(p.name) == "dns-sd" && v.services.n > 0)
	}
	switch qtype {
	case dns.TypeSRV, dns.TypeANY:
		ms, total := s.sampleSRV(z)
		a := Answer{Answer: z.srvRRs(s, slices.Values(ms))}
		if total > 0 {
			return a.sample(total, z.srvRRs(s, first(s.srvs(z))))
		}
		written := headerSize + len(s.key) + 1 + len(z.wire) + 4
		for _, rr := range a.Answer {
			written += recordSize + 6 + len(rr.(*dns.SRV).Target) + 1
		}
		host := len(wireName(z.hostName(s)))
		for _, m := range ms {
			if addr, ok := m.addr(); ok {
				if written += m.glueSize(host); written > glueRoom {
					break
				}
				a.Additional = append(a.Additional, addrRR(z.target(s, m), addr, m.ttl()))
			}
		}
		return a
	case dns.TypePTR:
		ms, total := s.samplePTR(z)
		a := Answer{Answer: z.ptrRRs(s, slices.Values(ms))}
		if total > 0 {
			return a.sample(total, z.ptrRRs(s, first(s.inOrder())))
		}
		return a
	}
	return v.empty(true)
}

// atHost answers at math.tcp.svc.
func (z *Zone) atHost(v *version, p place, qtype uint16) Answer {
	s := v.find(p.udp, p.name)
	if !s.hosts() {
		return v.empty(false)
	}
	if qtype == dns.TypeANY {
		qtype = dns.TypeAAAA
		if s.ttl4.total > 0 {
			qtype = dns.TypeA
		}
	}
	var set least
	switch qtype {
	case dns.TypeA:
		set = s.ttl4
	case dns.TypeAAAA:
		set = s.ttl6
	}
	if set.total == 0 {
		return v.empty(true)
	}
	v4 := qtype == dns.TypeA
	ms, total := s.sampleHosts(z, v4)
	a := Answer{Answer: z.hostRRs(s, v4, slices.Values(ms))}
	if total > 0 {
		return a.sample(total, z.hostRRs(s, v4, first(s.addresses(v4))))
	}
	return a
}

// atInstance answers at a1._math._tcp.svc. and a1.math.tcp.svc.
func (z *Zone) atInstance(v *version, p place, qtype uint16) Answer {
	s := v.find(p.udp, p.name)
	if s == nil {
		return v.empty(false)
	}
	m, ok := s.members.find(string(p.id))
	if !ok {
		return v.empty(false)
	}
	addr, hasAddr := m.addr()
	if p.at == instanceHost {
		if !hasAddr {
			return v.empty(false)
		}
		rr := addrRR(z.target(s, m), addr, m.ttl())
		if qtype != dns.TypeANY && qtype != rr.Header().Rrtype {
			return v.empty(true)
		}
		return Answer{Answer: []dns.RR{rr}}
	}
	switch name := z.instanceName(s, m); qtype {
	case dns.TypeSRV, dns.TypeANY:
		a := Answer{Answer: []dns.RR{z.srvRR(name, s, m, m.ttl())}}
		if hasAddr {
			a.Additional = []dns.RR{addrRR(z.target(s, m), addr, m.ttl())}
		}
		return a
	case dns.TypeTXT:
		return Answer{Answer: []dns.RR{txtRR(name, m, m.ttl())}}
	}
	return v.empty(true)
}

// atServices answers at _services._dns-sd._udp.svc.
func (z *Zone) atServices(v *version, qtype uint16) Answer {
	if v.services.n == 0 {
		return v.empty(false)
	}
	if qtype != dns.TypePTR && qtype != dns.TypeANY {
		return v.empty(true)
	}
	services, total := v.sampleServices(z)
	a := Answer{Answer: z.listedRRs(slices.Values(services))}
	if total > 0 {
		return a.sample(total, z.listedRRs(first(v.services.all())))
	}
	return a
}

// atStatic answers for a name server of the zone that lies in it.
func (v *version) atStatic(rrs []dns.RR, qtype uint16) Answer {
	if qtype == dns.TypeANY && len(rrs) > 0 {
		qtype = rrs[0].Header().Rrtype
	}
	rrs = slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool { return rr.Header().Rrtype != qtype })
	if len(rrs) == 0 {
		return v.empty(true)
	}
	return Answer{Answer: rrs}
}

// sample marks the answer as a sample of a set of total records, and keeps the first
// records of that set.
func (a Answer) sample(total int, first []dns.RR) Answer {
	a.Sampled, a.Total, a.first = len(a.Answer), total, first
	return a
}

// first yields the values that a message of headSize can hold of a set that no
// transport can send whole.
func first[T any](seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		n := 0
		for v := range seq {
			if n++; n > headSize/recordSize || !yield(v) {
				return
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Tests: golden_test.go, reference_test.go.
