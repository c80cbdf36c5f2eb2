package hook

import (
	"errors"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestDNSIsAskedByTheNamesOfTheZone(t *testing.T) {
	var name, rrtype string
	h := start(t, func(c *Config, _ *registry.Config) {
		c.DNS = func(n, r string) (DNSAnswer, error) {
			name, rrtype = n, r
			if n == "_broken._tcp.svc." {
				return DNSAnswer{}, errors.New("no zone")
			}
			return DNSAnswer{Name: n, Type: r, Answer: []string{}}, nil
		}
	})
	for _, c := range []struct {
		query, name, rrtype string
		status              int
		field               string
	}{
		{"_math._tcp/dns", "_math._tcp.svc.", "SRV", 200, ""},
		{"_math._tcp/dns?type=aaaa", "math.tcp.svc.", "AAAA", 200, ""},
		{"_time._udp/dns?type=A&id=a1", "a1.time.udp.svc.", "A", 200, ""},
		{"_math._tcp/dns?type=TXT&id=a1", "a1._math._tcp.svc.", "TXT", 200, ""},
		{"_math._tcp/dns?type=AXFR", "", "", 400, "type"},
		{"_math._tcp/dns?id=a.b", "", "", 400, "id"},
		{"math/dns", "", "", 400, "service"},
		{"_broken._tcp/dns", "_broken._tcp.svc.", "SRV", 500, ""},
	} {
		name, rrtype = "", ""
		a := h.do("GET", "/v1/services/"+c.query, "")
		if a.status != c.status || name != c.name || rrtype != c.rrtype {
			t.Errorf("%s: %d, asked for %s %s", c.query, a.status, name, rrtype)
		}
		if c.status == 400 && a.problem(t).Field != c.field {
			t.Errorf("%s: %s", c.query, a.body)
		}
	}
}
