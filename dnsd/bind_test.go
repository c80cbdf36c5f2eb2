package dnsd

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// TestAWildcardMeansTheAddressesOfTheHost: other hosts must reach the published
// addresses (RFC 1034 section 4.2.1).
func TestAWildcardMeansTheAddressesOfTheHost(t *testing.T) {
	host := func(texts ...string) func() []netip.Addr {
		return func() (out []netip.Addr) {
			for _, a := range texts {
				out = append(out, netip.MustParseAddr(a))
			}
			return out
		}
	}
	dual := host("127.0.0.1", "192.0.2.7", "::1", "2001:db8::7", "fe80::7")
	for _, tc := range []struct {
		bind       string
		interfaces func() []netip.Addr
		want       []netip.Addr
	}{
		{"127.0.0.1:5300", dual, host("127.0.0.1")()},
		{"192.0.2.9:53 127.0.0.1:53", dual, host("192.0.2.9", "127.0.0.1")()},
		{"0.0.0.0:53", dual, host("192.0.2.7")()},
		{"[::]:53", dual, host("192.0.2.7", "2001:db8::7")()},
		{":53", dual, host("192.0.2.7", "2001:db8::7")()},
		{"localhost:53", dual, host("127.0.0.1", "::1")()},
		{"0.0.0.0:53", host("127.0.0.1", "::1"), host("127.0.0.1")()},
		{"0.0.0.0:53", host("::1", "2001:db8::7"), host("127.0.0.1")()},
		{"[::]:53", host(), host("127.0.0.1")()},
	} {
		if got := boundAddrs(strings.Fields(tc.bind), tc.interfaces); !slices.Equal(got, tc.want) {
			t.Errorf("bind %s of %v: %v, want %v", tc.bind, tc.interfaces(), got, tc.want)
		}
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
	}
	if got := boundAddrs([]string{"0.0.0.0:53"}, host(many...)); len(got) != maxBound {
		t.Errorf("%d addresses of a host with %d, want %d", len(got), len(many), maxBound)
	}
}

// TestNamedCheckzoneLoadsTheZoneOfEveryBind transfers the zone of a server bound
// to each kind of address. BIND checks it and all its names.
func TestNamedCheckzoneLoadsTheZoneOfEveryBind(t *testing.T) {
	check := peertest.Need(t, "named-checkzone")
	for _, bind := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(bind, func(t *testing.T) {
			s := run(t, Config{Zones: []Zone{{
				Bind: []string{bind}, Hook: Hook{Addr: "127.0.0.1:0"},
				Transfer: Transfer{To: []Secondary{{Addr: "127.0.0.0/8"}}},
			}}})
			for _, id := range []string{"a1", "a2"} {
				if status, answer := request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/"+id, `{"host":"10.0.0.7","port":8080}`); status != 201 {
					t.Fatalf("%d %v", status, answer)
				}
			}
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.DNSAddr().Port())
			envelopes, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("svc."), to.String())
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			records := 0
			for e := range envelopes {
				if e.Error != nil {
					t.Fatal(e.Error)
				}
				for _, rr := range e.RR {
					if records++; records > 1 && rr.Header().Rrtype == dns.TypeSOA {
						continue
					}
					text.WriteString(rr.String() + "\n")
				}
			}
			file := filepath.Join(t.TempDir(), "svc.zone")
			if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), check, "-k", "fail", "-m", "fail", "-n", "fail", "-S", "fail", "-i", "full", "svc.", file).CombinedOutput()
			if err != nil {
				t.Errorf("named-checkzone: %v\n%s\n%s", err, out, text.String())
			}
		})
	}
}

// TestHostsInTheZoneMustBeThere: dnsd refuses a host whose SRV record would lead to
// NXDOMAIN.
func TestHostsInTheZoneMustBeThere(t *testing.T) {
	s := run(t, Config{Zones: []Zone{free(Zone{Reverse: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})}})
	put := func(id, host string) (int, string) {
		status, answer := request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/"+id, `{"port":8080,"host":"`+host+`"}`)
		return status, fmt.Sprint(answer)
	}
	for _, host := range []string{"a1.math.tcp.svc", "svc", "nothere.svc", "b1.math.tcp.svc."} {
		if status, answer := put("b1", host); status != 400 || !strings.Contains(answer, "host") {
			t.Errorf("host %s: %d %s", host, status, answer)
		}
	}
	for _, step := range []struct{ id, host string }{{"a1", "10.0.0.7"}, {"b1", "a1.math.tcp.svc"}, {"b1", "a1.math.tcp.svc"}, {"c1", "web.example.com"}} {
		if status, answer := put(step.id, step.host); status/100 != 2 {
			t.Errorf("%s at %s: %d %s", step.id, step.host, status, answer)
		}
	}
	// A registration is renewed even if the instance that its host names has gone.
	request(t, "DELETE", s.HookURL()+"/v1/services/_math._tcp/instances/a1", "")
	if status, answer := put("b1", "a1.math.tcp.svc"); status != 200 {
		t.Errorf("renewal: %d %s", status, answer)
	}
}
