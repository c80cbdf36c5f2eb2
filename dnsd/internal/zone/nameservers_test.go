package zone

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func TestReachableLeavesOutWhatOthersCannotUse(t *testing.T) {
	for _, tc := range []struct{ given, want []netip.Addr }{
		{nil, nil},
		{addrs("127.0.0.1"), addrs("127.0.0.1")},
		{addrs("127.0.0.1", "::1"), addrs("127.0.0.1", "::1")},
		{addrs("192.0.2.12", "2001:db8::53", "127.0.0.1", "::1"), addrs("192.0.2.12", "2001:db8::53")},
		{addrs("127.0.0.1", "fe80::1", "169.254.1.1"), addrs("127.0.0.1")},
		{addrs("fe80::1"), nil},
		{addrs("0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"), nil},
		{addrs("10.0.0.1", "::ffff:10.0.0.1", "fd00::1%eth0"), addrs("10.0.0.1", "fd00::1")},
	} {
		if got := Reachable(tc.given); !slices.Equal(got, tc.want) {
			t.Errorf("Reachable(%v) = %v, want %v", tc.given, got, tc.want)
		}
	}
}

// TestEveryNameServerInTheZoneHasAddresses: RFC 1034 section 4.2.1. Each has its
// own if it is given some, else this server's; and no loopback beside others.
func TestEveryNameServerInTheZoneHasAddresses(t *testing.T) {
	z := newTestZone(t, Config{
		Origin:  "svc.",
		NS:      []NameServer{{Host: "a.svc."}, {Host: "B.dc.svc.", Addrs: addrs("192.0.2.99", "2001:db8::99", "192.0.2.99")}, {Host: "ns.example."}},
		NSAddrs: addrs("127.0.0.1", "192.0.2.53", "::1"),
	}, 7)
	ns := z.Lookup("svc.", dns.TypeNS)
	want := []string{
		"a.svc.\t5\tIN\tA\t192.0.2.53",
		"b.dc.svc.\t5\tIN\tA\t192.0.2.99",
		"b.dc.svc.\t5\tIN\tAAAA\t2001:db8::99",
	}
	if got := text(ns.Additional); !slices.Equal(got, want) {
		t.Errorf("glue %q, want %q", got, want)
	}
	for _, rr := range ns.Answer {
		host := rr.(*dns.NS).Ns
		if !dns.IsSubDomain("svc.", host) {
			continue
		}
		if a := z.Lookup(host, dns.TypeA); len(a.Answer) == 0 {
			t.Errorf("%s A: %s without an answer", host, dns.RcodeToString[a.Rcode])
		}
	}
	_, records := z.Transfer()
	for rr := range records {
		if a, ok := rr.(*dns.A); ok && a.A.IsLoopback() {
			t.Errorf("published: %s", rr)
		}
	}
}
