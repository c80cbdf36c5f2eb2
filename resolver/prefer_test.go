package resolver

import (
	"net/netip"
	"strings"
	"testing"
)

// TestPreferenceOfAddresses goes by RFC 6724 with the sources a host has.
func TestPreferenceOfAddresses(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("2001:db8::100")
	link6, ula := netip.MustParseAddr("fe80::100"), netip.MustParseAddr("fd00::100")
	source := func(have ...netip.Addr) func(netip.Addr) netip.Addr {
		return func(dst netip.Addr) netip.Addr {
			if dst.IsLoopback() {
				return dst
			}
			for _, a := range have {
				if kindOf(a) == kindOf(dst) {
					return a
				}
			}
			for _, a := range have { // as a kernel does: any of the family
				if a.Is4() == dst.Is4() {
					return a
				}
			}
			return netip.Addr{}
		}
	}
	for _, tt := range []struct {
		name   string
		source func(netip.Addr) netip.Addr
		in     string
		want   string
	}{
		{"dual stack prefers IPv6", source(v4, v6), "192.0.2.1 2001:db8::1", "2001:db8::1 192.0.2.1"},
		{"no IPv6 here: rule 1", source(v4), "192.0.2.1 2001:db8::1", "192.0.2.1 2001:db8::1"},
		{"only link-local IPv6 here: rule 2", source(v4, link6), "192.0.2.1 2001:db8::1", "192.0.2.1 2001:db8::1"},
		{"only ULA here, global there: rule 5", source(v4, ula), "192.0.2.1 2001:db8::1", "192.0.2.1 2001:db8::1"},
		{"ULA on both sides and IPv4: rule 6", source(v4, ula), "fd00::1 192.0.2.1", "192.0.2.1 fd00::1"},
		{"global before 6to4: rule 5", source(v4, v6), "2002::1 2001:db8::1", "2001:db8::1 2002::1"},
		{"loopback IPv6 first: rule 6", source(), "127.0.0.1 ::1", "::1 127.0.0.1"},
		{"nothing reachable: by number", source(), "2001:db8::1 192.0.2.1", "192.0.2.1 2001:db8::1"},
		{"by number, not as rotated: 10", source(v4), "192.0.2.3 192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2 192.0.2.3"},
		{"once each, without those that name no host", source(v4), "192.0.2.1 192.0.2.1 0.0.0.0 255.255.255.255 ff02::1 :: fe80::1", "192.0.2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var in []netip.Addr
			for s := range strings.FieldsSeq(tt.in) {
				in = append(in, netip.MustParseAddr(s))
			}
			var got []string
			p := preference{source: tt.source}
			for _, a := range p.sort(in) {
				got = append(got, a.String())
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
}

func TestRouteSourceKnowsLoopback(t *testing.T) {
	t.Parallel()
	lo := netip.MustParseAddr("127.0.0.1")
	if got := routeSource(lo); got != lo {
		t.Errorf("source for %v: %v", lo, got)
	}
}
