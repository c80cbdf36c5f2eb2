package zone

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// publishable tells whether an instance is in the answers: its state allows it, and
// its names are possible in DNS. An impossible name would spoil the sets it is in.
func (z *Zone) publishable(in *registry.Instance) bool {
	if in == nil {
		return false
	}
	_, ok := in.Published()
	return ok && z.fits(in.Key) && !z.taken(in.Key) && !strings.Contains(in.Host, `\`) && len(in.Host) < maxName
}

// fits tells whether the longest name made of a key, the instance's, is within the
// bound of RFC 1035 section 2.3.4.
func (z *Zone) fits(key registry.Key) bool {
	return len(key.ID)+1+len(key.Service)+1 <= z.above
}

// usual is the most octets that the names of an instance take above the origin,
// with a service name of 15 characters (RFC 6335 section 5.1): an id of one label,
// the service, the protocol.
const usual = 1 + 63 + 1 + 16 + 1 + 4

// CheckInstance returns a *registry.FieldError that says why an instance of a key at a host
// cannot be published, or nil if it can. The registry has accepted the key and the
// host. A host with a name in the zone must have an address there, or its SRV record
// would lead to NXDOMAIN: it is the name of a name server, of an instance with an
// address, or of a service with one. Whether the name keeps its address is not
// checked later. A zone without content cannot check such a host, and the error is then
// registry.ErrNotWriter.
func (z *Zone) CheckInstance(key registry.Key, host string) error {
	if !z.fits(key) {
		return &registry.FieldError{Field: "id", Value: key.ID, Problem: fmt.Sprintf(
			"must be shorter: %s.%s.%s has more than the %d octets of a name (RFC 1035 section 2.3.4)", key.ID, key.Service, z.origin, maxName)}
	}
	if z.taken(key) {
		return &registry.FieldError{Field: "service", Value: key.Service, Problem: "is the name of the zone's own push server (RFC 8765 section 6.1): take another one"}
	}
	if z.forward != "" || !strings.HasSuffix(host, ".") {
		return nil
	}
	if !dns.IsSubDomain(z.origin, host) {
		return nil
	}
	if z.absent.Load() {
		return fmt.Errorf("zone %s has no content yet, so it is not known whether host %s has an address: %w", z.origin, host, registry.ErrNotWriter)
	}
	bad := func(problem string) error {
		return &registry.FieldError{Field: "host", Value: host, Problem: problem}
	}
	target := fmt.Sprintf("%s.%s.%s", key.ID, strings.ReplaceAll(key.Service, "_", ""), z.origin)
	if host == target {
		return bad("is the name that the instance gets itself, if it registers with an address: give that, or leave it out")
	}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if len(z.Lookup(host, qtype).Answer) > 0 {
			return nil
		}
	}
	return bad("lies in the zone " + z.origin + " and has no address there: register what it names first, or give an address")
}
