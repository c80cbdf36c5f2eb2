package nameserver

import (
	"net/netip"
	"testing"
)

func TestSecondariesAreCountedByAddressUpToABound(t *testing.T) {
	var c secondaryCounts
	addr := netip.AddrFrom4([4]byte{10, 0, 0, 0})
	for range 3 * mostSecondaries {
		c.count(addr, func(s *SecondaryCount) { s.AXFR++ })
		addr = addr.Next()
	}
	c.count(netip.MustParseAddr("::ffff:10.0.0.3"), func(s *SecondaryCount) { s.AXFR++ })
	all := c.all()
	if len(all) != mostSecondaries+1 {
		t.Fatalf("%d counts", len(all))
	}
	sum := uint64(0)
	for i, s := range all {
		sum += s.AXFR
		if i > 0 && !all[i-1].Addr.Less(s.Addr) {
			t.Errorf("%v after %v", s.Addr, all[i-1].Addr)
		}
		if want := uint64(2); s.Addr == netip.MustParseAddr("10.0.0.3") && s.AXFR != want {
			t.Errorf("%v has %d, want %d", s.Addr, s.AXFR, want)
		}
	}
	if all[0].Addr.IsValid() || all[0].AXFR != 2*mostSecondaries || sum != 3*mostSecondaries+1 {
		t.Errorf("the others are %+v, and all %d", all[0], sum)
	}
}
