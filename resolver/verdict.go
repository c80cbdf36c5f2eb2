package resolver

import (
	"fmt"

	"github.com/miekg/dns"
)

// verdict is what a reply means to the one who asked.
type verdict uint8

const (
	verdictData     verdict = iota // records of the type asked for
	verdictAlias                   // a CNAME whose end was not given: ask for that
	verdictNoName                  // NXDOMAIN
	verdictNoData                  // the name has other records (RFC 2308 section 2.2)
	verdictOldEDNS                 // does not know EDNS: ask without (RFC 6891 section 6.2.2)
	verdictRefused                 // not the one to ask
	verdictFailed                  // may work elsewhere, or later
	verdictReferral                // an authoritative server of some zone above
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

// lame tells whether a reply says that there is nothing, and gives nothing to
// believe it by: a server of the zone sets AA, and any other passes on the SOA (RFC
// 2308 sections 2.2 and 5). Servers that have lost their zone or their upstream
// answer so, and forwarders that throw the SOA away.
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

// isHostName tells whether a target can be a host: labels of letters, digits,
// hyphens and, as found in the wild, underscores. Others would be malformed
// certificate and dial names.
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
