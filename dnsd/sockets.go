package dnsd

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A socket is an address that a block listens on, over TCP at least.
type socket struct {
	word  string // the directive that has it
	addr  string // as Config has it; tlsPrefix before one of TLS
	index int    // of its zone
}

// sockets are the addresses of all blocks. An address that blocks share is there once.
func (c Config) sockets() []socket {
	var all []socket
	for i, z := range c.Zones {
		for _, addr := range z.listeners() {
			if slices.ContainsFunc(all, func(d socket) bool { return d.addr == addr }) {
				continue
			}
			word := "bind"
			if strings.HasPrefix(addr, tlsPrefix) {
				word = "tls"
			}
			all = append(all, socket{word, addr, i})
		}
		all = append(all, socket{"hook", z.Hook.Addr, i})
		if z.Store.Shared != nil {
			all = append(all, z.Store.Shared.sockets(i)...)
		}
	}
	return all
}

// checkPorts refuses addresses that cannot be open at the same time.
func (w checkedConfig) checkPorts() error {
	all := w.sockets()
	for i, d := range all {
		for _, o := range all[:i] {
			if !o.overlaps(d) {
				continue
			}
			z, other := w.Zones[d.index], w.Zones[o.index].Origins[0]
			if d.addr == o.addr && d.word == "hook" && o.word == "hook" {
				return z.fail(faultf("hook", "%s is the hook of zone %s already; give each block its own, or put both zones into one block", d.addr, other))
			}
			cure := "give them different ports or addresses"
			if d.host().IsUnspecified() && o.host().IsUnspecified() && d.host() != o.host() {
				cure = ":: takes IPv4 as well, so leave 0.0.0.0 out"
			}
			return z.fail(faultf(d.word, "%s and %s, the %s of zone %s, cannot be open at the same time; %s",
				strings.TrimPrefix(d.addr, tlsPrefix), strings.TrimPrefix(o.addr, tlsPrefix), o.word, other, cure))
		}
	}
	return nil
}

// overlaps says whether the socket of one address takes that of the other.
func (d socket) overlaps(o socket) bool {
	if !samePort(d.addr, o.addr) {
		return false
	}
	a, b := d.host(), o.host()
	covers := func(a, b netip.Addr) bool { // "::" takes both families
		return a == b || a.IsUnspecified() && (a.Is6() || b.Is4())
	}
	return covers(a, b) || covers(b, a)
}

// host is the IP address.
func (d socket) host() netip.Addr {
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

// checkSockets says whether the blocks that share a DNS address agree on the settings
// that belong to the address.
func (w checkedConfig) checkSockets() error {
	for _, addr := range addresses(w.Config) {
		var shared DNS
		first := ""
		for _, z := range w.Zones {
			if !slices.Contains(z.listeners(), addr) {
				continue
			}
			if word := shared.merge(z.DNS, strings.HasPrefix(addr, tlsPrefix)); word != "" {
				return z.fail(faultf(word, "zone %s on the same address, %s, has another value; the setting belongs to the address, so write it once, or write the same", first, addr))
			}
			first = cmp.Or(first, z.Origins[0])
		}
	}
	return nil
}

// merge takes from o the settings that d does not have; the certificate only if the
// address is one of TLS. It returns the directive that both have with other values.
func (d *DNS) merge(o DNS, overTLS bool) (conflict string) {
	note := func(word string, differs bool) {
		if differs {
			conflict = word
		}
	}
	note("udpsize", mergeOne(&d.UDPSize, o.UDPSize))
	note("ratelimit", mergeOne(&d.RateLimit, o.RateLimit))
	note("tcp connections", mergeOne(&d.TCP.Connections, o.TCP.Connections))
	note("tcp per-address", mergeOne(&d.TCP.PerAddress, o.TCP.PerAddress))
	note("tcp idle", mergeOne(&d.TCP.Idle, o.TCP.Idle))
	note("push", mergeOne(&d.Push.Off, o.Push.Off))
	note("push sessions", mergeOne(&d.Push.Sessions, o.Push.Sessions))
	note("push per-address", mergeOne(&d.Push.PerAddress, o.Push.PerAddress))
	note("nsid", mergeOne(&d.NSID, o.NSID))
	if overTLS {
		note("tls", mergeOne(&d.TLS, o.TLS))
	}
	note("cookie", len(d.CookieSecrets) > 0 && len(o.CookieSecrets) > 0 && !slices.Equal(d.CookieSecrets, o.CookieSecrets))
	if len(d.CookieSecrets) == 0 {
		d.CookieSecrets = o.CookieSecrets
	}
	return conflict
}

// mergeOne is merge for one setting. The zero value means that it was not set.
func mergeOne[T comparable](d *T, o T) (differs bool) {
	var nothing T
	differs = *d != nothing && o != nothing && *d != o
	*d = cmp.Or(*d, o)
	return differs
}
