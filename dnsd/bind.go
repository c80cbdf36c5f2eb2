package dnsd

import (
	"net"
	"net/netip"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// maxBound bounds the addresses that a wildcard means: a host of many containers may
// have thousands, and a resolver needs one.
const maxBound = 16

// boundAddrs are the addresses that bind means; the zone publishes some of them.
// A wildcard is all addresses of the host's interfaces at present. Addresses that no
// other host can use do not count against maxBound.
func boundAddrs(bind []string, interfaces func() []netip.Addr) []netip.Addr {
	var addrs []netip.Addr
	for _, b := range bind {
		host, _, _ := net.SplitHostPort(b)
		a, err := netip.ParseAddr(host)
		switch {
		case host == "localhost":
			addrs = append(addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
		case err == nil && !a.IsUnspecified():
			addrs = append(addrs, a.Unmap())
		default:
			var own []netip.Addr
			for _, i := range interfaces() {
				if !a.Is4() || i.Is4() { // 0.0.0.0 is of one family, :: and "" of both
					own = append(own, i)
				}
			}
			if own = zone.Reachable(own); len(own) == 0 {
				own = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // the server answers there at least
			}
			addrs = append(addrs, own[:min(len(own), maxBound)]...)
		}
	}
	return addrs
}

// interfaceAddrs are the addresses of the host; none if the system does not tell them.
func interfaceAddrs() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, f := range found {
		if n, ok := f.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	return addrs
}
