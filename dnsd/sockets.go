package dnsd

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
)

// A door is an address that a block wants to listen on, over TCP at least.
type door struct {
	word  string // its directive
	addr  string // as Config has it; tlsPrefix before one of TLS
	index int    // of its zone
}

// doors are the addresses of all blocks. Those that blocks share are there once.
func (c Config) doors() []door {
	var all []door
	for i, z := range c.Zones {
		for _, addr := range z.listeners() {
			if slices.ContainsFunc(all, func(d door) bool { return d.addr == addr }) {
				continue
			}
			word := "bind"
			if strings.HasPrefix(addr, tlsPrefix) {
				word = "tls"
			}
			all = append(all, door{word, addr, i})
		}
		all = append(all, door{"hook", z.Hook.Addr, i})
	}
	return all
}

// checkPorts refuses addresses that cannot be had beside one another.
func (c Config) checkPorts() error {
	all := c.doors()
	for i, d := range all {
		for _, o := range all[:i] {
			if !o.overlaps(d) {
				continue
			}
			z, other := c.Zones[d.index].Origins[0], c.Zones[o.index].Origins[0]
			return &zoneError{d.index, z, fmt.Errorf("%s: %s and %s, the %s of zone %s, cannot be had at once: give them other ports or addresses",
				d.word, strings.TrimPrefix(d.addr, tlsPrefix), strings.TrimPrefix(o.addr, tlsPrefix), o.word, other)}
		}
	}
	return nil
}

// overlaps says whether one socket has what the other wants.
func (d door) overlaps(o door) bool {
	if !samePort(d.addr, o.addr) {
		return false
	}
	a, b := d.host(), o.host()
	covers := func(a, b netip.Addr) bool { // "::" takes both families
		return a == b || a.IsUnspecified() && (a.Is6() || b.Is4())
	}
	return covers(a, b) || covers(b, a)
}

// host is the address without the port.
func (d door) host() netip.Addr {
	host, _, _ := net.SplitHostPort(strings.TrimPrefix(d.addr, tlsPrefix))
	switch host {
	case "":
		return netip.IPv6Unspecified()
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap()
}

// checkSocket says whether the blocks that share a DNS address agree on what is the
// address's and not the zone's.
func (c Config) checkSocket(addr string) error {
	var shared DNS
	var cert TLS
	first := ""
	for i, z := range c.Zones {
		if !slices.Contains(z.listeners(), addr) {
			continue
		}
		word := shared.merge(z.DNS)
		if strings.HasPrefix(addr, tlsPrefix) {
			if cert.Cert != "" && cert != z.TLS {
				word = "tls"
			}
			cert = z.TLS
		}
		if word != "" {
			return &zoneError{i, z.Origins[0], fmt.Errorf("%s: zone %s on the same address, %s, says otherwise; the setting is the address's: write it once, or the same", word, first, addr)}
		}
		first = cmp.Or(first, z.Origins[0])
	}
	var cfg nameserver.Config
	serverSettings(&cfg, shared)
	_, err := nameserver.Check(cfg)
	return err
}

// merge takes what o says and d does not. It returns the directive in which both say
// something, and not the same.
func (d *DNS) merge(o DNS) (conflict string) {
	note := func(word string, differs bool) {
		if differs {
			conflict = word
		}
	}
	note("udpsize", mergeOne(&d.UDPSize, o.UDPSize))
	note("ratelimit", mergeOne(&d.RateLimit, o.RateLimit))
	note("tcp", mergeOne(&d.TCPConnections, o.TCPConnections))
	note("tcp", mergeOne(&d.TCPPerAddress, o.TCPPerAddress))
	note("tcp", mergeOne(&d.TCPIdle, o.TCPIdle))
	note("nsid", mergeOne(&d.NSID, o.NSID))
	note("cookie", len(d.CookieSecrets) > 0 && len(o.CookieSecrets) > 0 && !slices.Equal(d.CookieSecrets, o.CookieSecrets))
	if len(d.CookieSecrets) == 0 {
		d.CookieSecrets = o.CookieSecrets
	}
	return conflict
}

// mergeOne is merge for one setting, whose zero value says nothing.
func mergeOne[T comparable](d *T, o T) (differs bool) {
	var nothing T
	differs = *d != nothing && o != nothing && *d != o
	*d = cmp.Or(*d, o)
	return differs
}
