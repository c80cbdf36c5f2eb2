package zone

import (
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// publishable tells whether an instance is in the answers: it wants to be, and
// its names can be said in DNS. One that cannot would spoil the sets it is in.
func (z *Zone) publishable(in *registry.Instance) bool {
	if in == nil {
		return false
	}
	_, ok := in.Published()
	return ok && z.fits(in.Key) && !strings.Contains(in.Host, `\`) && len(in.Host) < maxName
}

// fits tells whether the longest name of a key, that of the instance, is within
// the bound of RFC 1035 section 2.3.4.
func (z *Zone) fits(key registry.Key) bool {
	return len(key.ID)+1+len(key.Service)+1 <= z.above
}

// usual is what the names of an instance take at most above the origin, when
// the service has a name of 15 characters (RFC 6335 section 5.1): an id of one
// label, the service, the protocol.
const usual = 1 + 63 + 1 + 16 + 1 + 4
