package zone

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The names of a service with the key "_math._tcp" and of its instance "a1", below
// the origin. A host name has no underscore (RFC 952, RFC 1123 section 2.1), so the
// targets of SRV records have other names: a1.math.tcp.svc.

func (z *Zone) serviceName(s *service) string { return s.key + "." + z.origin }

func (z *Zone) hostName(s *service) string {
	return strings.ReplaceAll(s.key, "_", "") + "." + z.origin
}

func (z *Zone) instanceName(s *service, m member) string { return m.ID + "." + z.serviceName(s) }

// target is the host name of a member: the name made for it, or the one it registered.
func (z *Zone) target(s *service, m member) string {
	if m.foreign() {
		return m.Host
	}
	return m.ID + "." + z.hostName(s)
}

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func (z *Zone) srvRR(owner string, s *service, m member, ttl uint32) dns.RR {
	return &dns.SRV{
		Hdr: header(owner, dns.TypeSRV, ttl), Priority: m.priority(), Weight: m.Weight, Port: m.Port,
		Target: z.target(s, m),
	}
}

func addrRR(owner string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}
}

func ptrRR(owner, to string, ttl uint32) dns.RR {
	return &dns.PTR{Hdr: header(owner, dns.TypePTR, ttl), Ptr: to}
}

func txtRR(owner string, m member, ttl uint32) dns.RR {
	return &dns.TXT{Hdr: header(owner, dns.TypeTXT, ttl), Txt: txtStrings(m.Meta)}
}

// maxTXT bounds the data of a TXT record. RFC 6763 section 6.2 recommends less than
// 1300 octets; a record larger than maxTXT would leave its message little room for
// others.
const maxTXT = 16 << 10

// txtStrings turns meta into the strings of a DNS-SD TXT record: key=value
// sorted by key, one empty string when there is none (RFC 6763 section 6.1).
// Pairs that are not allowed there are left out: those with a key that is empty, not
// printable ASCII or with "=" in it (section 6.4), those longer than 255 octets, and
// those that exceed maxTXT.
func txtStrings(meta map[string]string) []string {
	var out []string
	size := 0
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		v := meta[k]
		n := len(k) + 1 + len(v)
		if !txtKey(k) || n > 255 || size+1+n > maxTXT {
			continue
		}
		size += 1 + n
		out = append(out, escape(k+"="+v))
	}
	if out == nil {
		return []string{""}
	}
	return out
}

func txtKey(k string) bool {
	for i := range len(k) {
		if k[i] < ' ' || k[i] > '~' || k[i] == '=' {
			return false
		}
	}
	return k != ""
}

// escape returns a character string as miekg/dns holds it (RFC 1035 section 5.1), so
// that a record built here equals one read from the wire.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			b.WriteByte('\\')
			b.WriteByte('0' + c/100)
			b.WriteByte('0' + c/10%10)
			b.WriteByte('0' + c%10)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Record sets of a service, whole and in the order of the answers.

func (z *Zone) srvSet(s *service) []dns.RR { return z.srvRRs(s, s.srvs(z)) }
func (z *Zone) ptrSet(s *service) []dns.RR { return z.ptrRRs(s, s.inOrder()) }

func (z *Zone) hostSet(s *service, v4 bool) []dns.RR {
	return z.hostRRs(s, v4, s.addresses(v4))
}

func (z *Zone) srvRRs(s *service, ms iter.Seq[member]) (rrs []dns.RR) {
	owner := z.serviceName(s)
	for m := range ms {
		rrs = append(rrs, z.srvRR(owner, s, m, s.ttl.value))
	}
	return rrs
}

func (z *Zone) ptrRRs(s *service, ms iter.Seq[member]) (rrs []dns.RR) {
	owner := z.serviceName(s)
	for m := range ms {
		rrs = append(rrs, ptrRR(owner, z.instanceName(s, m), s.ttl.value))
	}
	return rrs
}

func (z *Zone) hostRRs(s *service, v4 bool, ms iter.Seq[member]) (rrs []dns.RR) {
	owner, ttl := z.hostName(s), s.ttl6.value
	if v4 {
		ttl = s.ttl4.value
	}
	for m := range ms {
		a, _ := m.addr()
		rrs = append(rrs, addrRR(owner, a, ttl))
	}
	return rrs
}

// instanceRRs returns the records of a single instance, at its two names.
func (z *Zone) instanceRRs(s *service, m member) []dns.RR {
	name := z.instanceName(s, m)
	rrs := []dns.RR{z.srvRR(name, s, m, m.ttl()), txtRR(name, m, m.ttl())}
	if a, ok := m.addr(); ok {
		rrs = append(rrs, addrRR(z.target(s, m), a, m.ttl()))
	}
	return rrs
}

// listed is the record that names the service in the list of services.
func (z *Zone) listed(s *service) dns.RR {
	return ptrRR(servicesName+z.origin, z.serviceName(s), z.ttl)
}

func (z *Zone) listedRRs(services iter.Seq[*service]) (rrs []dns.RR) {
	for s := range services {
		rrs = append(rrs, z.listed(s))
	}
	return rrs
}

// servicesName is where all services are listed (RFC 6763 section 9).
const servicesName = "_services._dns-sd._udp."

// Tests: golden_test.go, reference_test.go.
