package registry_test

import (
	"errors"
	gomath "math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestCheckHost(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.7": "10.0.0.7", "127.0.0.1": "127.0.0.1", "2001:DB8::1": "2001:db8::1", "2001:db8:0:0:0:0:0:1": "2001:db8::1", "::ffff:10.0.0.7": "10.0.0.7",
		"a1.example.net": "a1.example.net.", "A1.Example.NET.": "a1.example.net.", "1.2.3.4.example": "1.2.3.4.example.",
	} {
		if got, err := registry.CheckHost(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for in, word := range map[string]string{
		"": "IP address or a host name", ".": "IP address or a host name", "a..b": "empty", "10.0.0.300": "looks like", "10.0.0": "looks like", "1": "looks like", "0x7f000001": "looks like", "a.0x": "looks like",
		"localhost": "one label", "web": "like web.example.com", "web.": "one label", "K1.example.net": "only", "255.255.255.255": "reserved", "240.0.0.1": "reserved", "0.0.0.1": "reserved",
		"169.254.169.254": "link-local", "fe80::1": "link-local", "::ffff:169.254.1.1": "link-local",
		"fe80::1%eth0": "zone", "0.0.0.0": "reach", "::": "reach", "224.0.0.1": "multicast", "ff02::1": "multicast", "[::1]": "without port", "10.0.0.7:80": "without port", "web1.example.com:80": "without port", "http://web1.example.com": "without port",
		"_math.example": "only", "a b": "only", "-a.example": "hyphen", "a\x00b": "only", strings.Repeat("a.", 127) + "b": "at most 253", strings.Repeat("a", 64) + ".b": "at most 63",
	} {
		_, err := registry.CheckHost(in)
		wantField(t, err, "host", in, word)
	}
}

func TestCheckMeta(t *testing.T) {
	good := map[string]string{"version": "1.2", "a b": "c=d", "empty": "", "utf": "ü"}
	if err := registry.CheckMeta(good); err != nil {
		t.Error(err)
	}
	if err := registry.CheckMeta(map[string]string{"k": strings.Repeat("v", 253)}); err != nil {
		t.Errorf("255 octets: %v", err)
	}
	many := map[string]string{}
	for _, k := range "abcdef" {
		many[string(k)] = strings.Repeat("v", 250)
	}
	for word, m := range map[string]map[string]string{
		"empty": {"": "v"}, "printable": {"a=b": "v"}, "ASCII": {"ü": "v"}, "without =": {"a\tb": "v"},
		"255": {"k": strings.Repeat("v", 254)}, "1300": many, "case": {"Version": "1", "version": "2"}, "UTF-8": {"k": "\xff"},
	} {
		err := registry.CheckMeta(m)
		var f *registry.FieldError
		if !errors.As(err, &f) || f.Field != "meta" || !strings.Contains(f.Problem, word) {
			t.Errorf("%v: %v, want meta and %q", m, err, word)
		}
	}
}

func TestRegistrationIsCheckedAndCompleted(t *testing.T) {
	r, _ := start(t, registry.Config{})
	second := time.Second
	for _, c := range []struct {
		change      func(*registry.Instance)
		field, word string
	}{
		{func(in *registry.Instance) { in.Port = 0 }, "port", "1 to 65535"},
		{func(in *registry.Instance) { in.Service = "math" }, "service", "_math._tcp"},
		{func(in *registry.Instance) { in.ID = "A" }, "id", "lower case"},
		{func(in *registry.Instance) { in.Host = "10.0.0" }, "host", "looks like"},
		{func(in *registry.Instance) { in.Lease = 2 * second }, "lease", "between 3s and 24h"},
		{func(in *registry.Instance) { in.Lease = 25 * time.Hour }, "lease", "between 3s and 24h"},
		{func(in *registry.Instance) { in.Lease = -second }, "lease", "between 3s and 24h"},
		{func(in *registry.Instance) { in.TTL = 8 * second }, "ttl", "at most half the lease, 7s"},
		{func(in *registry.Instance) { in.TTL = 1500 * time.Millisecond }, "ttl", "whole seconds"},
		{func(in *registry.Instance) { in.TTL = -second }, "ttl", "whole seconds"},
		{func(in *registry.Instance) { in.Meta = map[string]string{"": "v"} }, "meta", "empty"},
	} {
		in := math("a1")
		c.change(&in)
		out, err := r.Register(t.Context(), in)
		var f *registry.FieldError
		if !errors.As(err, &f) || f.Field != c.field || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v, %v; want %q", c.field, out, err, c.word)
		}
	}
	if r.Revision() != 0 {
		t.Errorf("revision %d: a refused registration changed something", r.Revision())
	}
	in := math("a1")
	in.Lease, in.Host = 3*second, "A1.example"
	if out := register(t, r, in); out.TTL != second || out.Host != "a1.example." {
		t.Errorf("registered as %#v", out)
	}
	if out := register(t, r, math("a2")); out.TTL != 5*second || out.Lease != 15*second {
		t.Errorf("registered as %#v", out)
	}
}

func wantField(t *testing.T, err error, field, value, word string) {
	t.Helper()
	var f *registry.FieldError
	if !errors.As(err, &f) || f.Field != field || f.Value != value || !strings.Contains(f.Problem, word) {
		t.Errorf("%q: %v, want a problem of %s with %q", value, err, field, word)
	}
}

// A value that passes the checks is fit for DNS.
func FuzzValidation(f *testing.F) {
	f.Add("_math._tcp", "a1", "10.0.0.7", "version", "1.2")
	f.Add("_math._udp", "a-1", "a1.example.net.", "k", "")
	f.Add("_MATH._tcp", "-", "0x7f.1", "=", "\xff")
	f.Add("_a--b._tcp", "ä", "fe80::1%eth0", "", strings.Repeat("v", 300))
	f.Fuzz(func(t *testing.T, service, id, host, key, value string) {
		label := func(s string) bool {
			return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-' && s[len(s)-1] != '-'
		}
		if registry.CheckService(service) == nil {
			name, proto, _ := strings.Cut(strings.TrimPrefix(service, "_"), ".")
			if !label(name) || len(name) > 62 || proto != "_tcp" && proto != "_udp" {
				t.Errorf("service %q passed", service)
			}
		}
		if registry.CheckID(id) == nil && !label(id) {
			t.Errorf("id %q passed", id)
		}
		if h, err := registry.CheckHost(host); err == nil {
			if again, err := registry.CheckHost(h); err != nil || again != h {
				t.Errorf("host %q became %q became %q, %v", host, h, again, err)
			}
			if _, err := netip.ParseAddr(h); err != nil {
				if !strings.HasSuffix(h, ".") || len(h) > 254 {
					t.Errorf("host %q became %q", host, h)
				}
				for l := range strings.SplitSeq(strings.TrimSuffix(h, "."), ".") {
					if !label(l) {
						t.Errorf("host %q became %q with label %q", host, h, l)
					}
				}
			}
		}
		if registry.CheckMeta(map[string]string{key: value}) == nil {
			if len(key)+1+len(value) > 255 || key == "" || strings.ContainsFunc(key, func(c rune) bool { return c < 0x20 || c > 0x7e || c == '=' }) || !utf8.ValidString(value) {
				t.Errorf("meta %q=%q passed", key, value)
			}
		}
	})
}

// After each incarnation that is accepted there is a higher one.
func TestIncarnationOfTheFarFutureIsRefused(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	var field *registry.FieldError
	for _, bad := range []uint64{gomath.MaxUint64, gomath.MaxInt64, uint64(time.Now().Add(25 * time.Hour).UnixNano())} {
		in.Incarnation = bad
		if _, err := r.Register(t.Context(), in); !errors.As(err, &field) || field.Field != "incarnation" {
			t.Errorf("%d: %v, want it refused", bad, err)
		}
	}
	for _, good := range []uint64{1, uint64(time.Now().UnixMilli()), uint64(time.Now().UnixMicro()), uint64(time.Now().UnixNano())} {
		in.Incarnation = good
		register(t, r, in)
	}
}
