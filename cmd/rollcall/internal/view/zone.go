package view

import (
	"context"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Zone is what one server says of a zone.
type Zone struct {
	Server string
	Found  bool // it knows the zone, as its authority or from there
	Rcode  string
	Serial uint32
	Error  string // why there is no answer
}

// AskZone asks all servers at once for the SOA record of a zone, an absolute name.
func AskZone(ctx context.Context, servers []string, zone string) []Zone {
	zones := make([]Zone, len(servers))
	var all sync.WaitGroup
	for i, server := range servers {
		all.Go(func() {
			z := Zone{Server: server}
			if m, _, err := exchange(ctx, server, zone, dns.TypeSOA); err != nil {
				z.Error = err.Error()
			} else {
				z.Rcode = rcode(m)
				for _, rr := range m.Answer {
					if soa, ok := rr.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, zone) {
						z.Found, z.Serial = true, soa.Serial
					}
				}
			}
			zones[i] = z
		})
	}
	all.Wait()
	return zones
}
