package resolver

import (
	"fmt"

	"github.com/miekg/dns"
)

// verdict is what a reply means for the question.
type verdict uint8

const (
	verdictData     verdict = iota // records of the type asked for
	verdictAlias                   // a CNAME without its target: ask for that
	verdictNoName                  // NXDOMAIN
	verdictNoData                  // the name has other records (RFC 2308 section 2.2)
	verdictOldEDNS                 // does not know EDNS: ask without (RFC 6891 section 6.2.2)
	verdictRefused                 // another server must be asked
	verdictFailed                  // another server may work, or this one later
	verdictReferral                // the server has authority only for a zone above
	verdictEndless                 // aliases without an end
)

func (rep *reply) verdict(q question) verdict {
	switch rep.rcode {
	case dns.RcodeSuccess:
		switch {
		case rep.endless:
			return verdictEndless
		case rep.records > 0:
			return verdictData
		case rep.referral:
			return verdictReferral
		case rep.alias != q.name && !rep.soa:
			return verdictAlias
		}
		return verdictNoData
	case dns.RcodeNameError:
		return verdictNoName
	case dns.RcodeFormatError, dns.RcodeNotImplemented:
		return verdictOldEDNS
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return verdictRefused
	}
	return verdictFailed
}

// lame reports whether a reply says that there is nothing, but without proof: a server of
// the zone sets AA, and any other server passes on the SOA (RFC 2308 sections 2.2 and 5).
// Servers that have lost their zone or their upstream answer so, and forwarders that drop
// the SOA.
func (rep *reply) lame(q question) bool {
	v := rep.verdict(q)
	return (v == verdictNoData || v == verdictNoName) && !rep.soa && !rep.aa
}

// rcodeText is "NXDOMAIN", or "RCODE77".
func (rep *reply) rcodeText() string {
	if s, ok := dns.RcodeToString[rep.rcode]; ok {
		return s
	}
	return fmt.Sprintf("RCODE%d", rep.rcode)
}

// isHostName reports whether a target can be a host: labels of letters, digits, hyphens
// and, because such names exist, underscores. Other names would be malformed in
// certificates and for dialling.
func isHostName(name string) bool {
	if name == "." || name == "" {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
