package limit

import "net/netip"

// Client is what counts as one client at an address: the address itself, or the /64
// of an IPv6 address, because one host may own a whole /64.
func Client(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // 64 is in range
		return p.Addr()
	}
	return a
}
