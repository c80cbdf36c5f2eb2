package limit

import (
	"net/netip"
	"testing"
)

func TestClientIsAnAddressOrAnIPv6Network(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1",
		"192.0.2.2":          "192.0.2.2",
		"::ffff:192.0.2.1":   "192.0.2.1",
		"2001:db8::1":        "2001:db8::",
		"2001:db8::ffff:1:2": "2001:db8::",
		"2001:db8:0:1::1":    "2001:db8:0:1::",
		"fe80::1%eth0":       "fe80::",
	} {
		if got := Client(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("Client(%s) = %s, want %s", addr, got, want)
		}
	}
	if got := Client(netip.Addr{}); got.IsValid() {
		t.Errorf("Client of no address is %s", got)
	}
}
