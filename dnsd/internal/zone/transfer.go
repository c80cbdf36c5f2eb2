package zone

import (
	"iter"
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// Transfer returns the whole zone at one revision: its SOA, and all other
// records, set by set. The records belong to that revision however long it takes to
// read them, and nothing waits for the reader.
//
// The SOA is the first and the last record of a transfer (RFC 5936 section 2.2);
// records does not hold it.
func (z *Zone) Transfer() (soa *dns.SOA, records iter.Seq[dns.RR]) {
	v := z.current.Load()
	return v.soa, func(yield func(dns.RR) bool) {
		each := func(rrs []dns.RR) bool {
			for _, rr := range rrs {
				if !yield(rr) {
					return false
				}
			}
			return true
		}
		if !each(z.static[z.origin]) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(z.static)) {
			if name != z.origin && !each(z.static[name]) {
				return
			}
		}
		z.content.each(v, each)
	}
}
