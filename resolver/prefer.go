package resolver

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
)

// preference sorts the addresses of a target as RFC 6724 section 6 says, by its rules 1, 2,
// 5, 6 and 8. Addresses that are equal by these are sorted by number, and not left in
// their order as rule 10 says: servers rotate their answers, but Addr is an identity that
// must not change with each answer.
//
// Each resolution has one. It remembers the source address that the system would use for
// each kind of destination, so that a thousand dual-stack targets need only a few probes.
type preference struct {
	source  func(netip.Addr) netip.Addr // zero: no route
	sources map[kind]netip.Addr
}

// kind is the properties of an address that the rules compare.
type kind struct {
	v4         bool
	scope      uint8
	precedence uint8
	label      uint8
}

// policy is the table of RFC 6724 section 2.1, the longest prefixes first.
var policy = [...]struct {
	prefix            netip.Prefix
	precedence, label uint8
}{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

func kindOf(a netip.Addr) kind {
	k := kind{v4: a.Is4(), scope: scopeGlobal}
	if a.IsLoopback() || a.IsLinkLocalUnicast() {
		k.scope = scopeLink // RFC 6724 sections 3.1 and 3.2
	}
	if k.v4 {
		k.precedence, k.label = 35, 4 // as ::ffff:0:0/96
		return k
	}
	for _, row := range policy {
		if row.prefix.Contains(a.WithZone("")) {
			k.precedence, k.label = row.precedence, row.label
			break
		}
	}
	return k
}

const (
	scopeLink   = 0x2
	scopeGlobal = 0xe
)

// sort drops addresses that cannot be dialled and repeated ones, and puts the best first.
func (p *preference) sort(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if usable(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	out = slices.Compact(out)
	if len(out) > 1 {
		slices.SortStableFunc(out, p.compare)
	}
	return out
}

// usable reports whether an address names a host. Dialling 0.0.0.0 would reach any server
// on this machine. fe80::1 is another host on each link, and a record cannot name the link
// (RFC 4007 section 6).
func usable(a netip.Addr) bool {
	return a.IsValid() && !(a.Is6() && a.IsLinkLocalUnicast()) && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// compare returns -1 if a is preferred to b.
func (p *preference) compare(a, b netip.Addr) int {
	ka, kb := kindOf(a), kindOf(b)
	if ka == kb {
		return 0
	}
	sa, sb := p.sourceOf(ka, a), p.sourceOf(kb, b)
	if c := prefer(sa.IsValid(), sb.IsValid()); c != 0 || !sa.IsValid() {
		return c // rule 1: avoid unusable destinations
	}
	from, to := kindOf(sa), kindOf(sb)
	return cmp.Or(
		prefer(ka.scope == from.scope, kb.scope == to.scope), // rule 2: matching scope
		prefer(ka.label == from.label, kb.label == to.label), // rule 5: matching label
		cmp.Compare(kb.precedence, ka.precedence),            // rule 6: higher precedence
		cmp.Compare(ka.scope, kb.scope),                      // rule 8: smaller scope
	)
}

func prefer(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}

func (p *preference) sourceOf(k kind, a netip.Addr) netip.Addr {
	src, known := p.sources[k]
	if !known {
		if p.sources == nil {
			p.sources = map[kind]netip.Addr{}
		}
		src = p.source(a)
		p.sources[k] = src
	}
	return src
}

// routeSource asks the kernel from which address it would send. To connect a UDP socket
// sends no packet.
func routeSource(dst netip.Addr) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, 53)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
