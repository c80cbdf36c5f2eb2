package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestCheckServiceNamesMistakeAndCure: the likeliest mistakes of a newcomer, each
// with the name to write instead.
func TestCheckServiceNamesMistakeAndCure(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                      `it is empty: want an SRV name such as "_math._tcp.svc"`,
		"math":                  `one word: service, protocol and zone are wanted: write "_math._tcp.svc"`,
		"_math":                 `write "_math._tcp.svc"`,
		"_math._tcp":            `the zone is missing: write "_math._tcp.svc"`,
		"_math._tcp.":           `the zone is missing: write "_math._tcp.svc"`,
		"_math.svc":             `the protocol is missing: write "_math._tcp.svc"`,
		"math._tcp.svc":         `with an underscore each (RFC 2782): write "_math._tcp.svc"`,
		"_math.tcp.svc":         `write "_math._tcp.svc"`,
		"math.tcp.svc":          `write "_math._tcp.svc"`,
		"math.udp":              `write "_math._udp.svc"`,
		"a1.math.tcp.svc":       `write "_math._tcp.svc"`,
		"_tcp.svc":              `the service before _tcp is missing`,
		"127.0.0.1:9001":        `it is an address: want an SRV name such as "_math._tcp.svc", or give the address itself by resolver.Static("127.0.0.1:9001")`,
		"localhost:9001":        `resolver.Static("localhost:9001")`,
		":9001":                 `resolver.Static(":9001")`,
		"10.0.0.7":              `resolver.Static("10.0.0.7:PORT")`,
		"::1":                   `resolver.Static("[::1]:PORT")`,
		"[::1]:80":              `resolver.Static("[::1]:80")`,
		"_math._tcp.svc:5300":   `the port of a DNS server belongs to its address in Servers or ROLLCALL_DNS: write "_math._tcp.svc"`,
		"http://_math._tcp.svc": `it is a URL: want an SRV name alone: write "_math._tcp.svc"`,
		"dns:///_math._tcp.svc": `write "_math._tcp.svc"`,
		"http://127.0.0.1:80/":  `it is a URL: want an SRV name alone, such as "_math._tcp.svc"`,
		"_math._tcp..svc":       `a label is empty, for there are two dots in a row or one before the first: write "_math._tcp.svc"`,
		"._math._tcp.svc":       `write "_math._tcp.svc"`,
		"..":                    `a label is empty`,
		".":                     `a label is empty`,
		"_math._tcp.svc/x":      `'/' cannot be in it`,
		"_math _tcp svc":        `' ' cannot be in it`,
		"_mäth._tcp.svc":        `'ä' cannot be in it`,
		"_" + strings.Repeat("x", 63) + "._tcp.svc":  "labels have 1 to 63 octets",
		strings.Repeat("_x._tcp.", 40) + "_tcp.svc":  "names at most 255",
		"_a b._tcp.svc:80":                           `an SRV name alone`,
		"*._tcp.svc":                                 `'*' cannot be in it`,
		"_math._tcp.svc:http":                        `it is an address`,
		"https://user@_math._tcp.svc:5300/path?x=1#": `it is a URL`,
	} {
		err := CheckService(name)
		if name == "_a b._tcp.svc:80" {
			want = `it ends with a port`
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `service "`) {
			t.Errorf("%q: %v\nwant ... %s", name, err, want)
		}
	}
	for _, name := range []string{
		"_math._tcp.svc", "_math._tcp.svc.", "_Math._TCP.Example.COM", "_math._udp.svc", "_ldap._tcp.dc._msdcs.example.com",
		"a1._math._tcp.svc", "_sip._tls.example.com", "web.service.consul", "_web._blue.service.consul", "_http._tcp.web.default.svc.cluster.local",
	} {
		if err := CheckService(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzCheckService: no name causes a panic or a loop, a name that passes can be asked for,
// and the name that an error proposes passes.
func FuzzCheckService(f *testing.F) {
	for _, s := range []string{"math", "_math._tcp..svc", "http://_a._tcp.b:1/", "_tcp", "://", "[::1]:1", "_._", "_tcp._tcp", "x.tcp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := CheckService(name)
		if err == nil {
			if _, err := canonicalName(name); err != nil {
				t.Errorf("%q passes and is no name: %v", name, err)
			}
			return
		}
		if _, cure, ok := strings.Cut(err.Error(), `: write "`); ok && !strings.Contains(name, `: write "`) {
			cure = strings.TrimSuffix(cure, `"`)
			if err := CheckService(cure); err != nil {
				t.Errorf("%q: the cure %q: %v", name, cure, err)
			}
		}
	})
}

// TestServersAreChecked where they are used, too: an empty one would be the local host.
func TestServersAreChecked(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"", ":53", "ns1:0", "http://ns1", "ns1,ns2"} {
		r := &Resolver{Servers: []string{"127.0.0.1", server}}
		want := fmt.Sprintf("server 1 of Servers, %q: want host or host:port: ", server)
		if err := r.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Check: %v, want %s", err, want)
		}
		if _, err := r.Lookup(t.Context(), mathTCP); err == nil || !strings.HasPrefix(err.Error(), "resolver: lookup _math._tcp.svc. SRV: "+want) {
			t.Errorf("Lookup: %v, want %s", err, want)
		}
		for state := range r.Watch(t.Context(), mathTCP) {
			if state.Err == nil || !strings.Contains(state.Err.Error(), want) {
				t.Errorf("Watch: %v, want %s", state.Err, want)
			}
			break
		}
		r.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }
		if err := r.Check(); err != nil {
			t.Errorf("with a Dial: %v", err)
		}
	}
}
