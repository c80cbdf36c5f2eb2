package dnsd

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestCorefileRefusesWhatAStartWouldRefuse: with the place, before anything changes.
func TestCorefileRefusesWhatAStartWouldRefuse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	selfSigned(t, cert, key)
	cert2, key2 := filepath.Join(dir, "c2.pem"), filepath.Join(dir, "k2.pem")
	selfSigned(t, cert2, key2)
	const two = "svc {\n  hook 127.0.0.1:0\n  A\n}\nsrv {\n  hook 127.0.0.1:0\n  B\n}\n"
	pair := func(a, b string) string { return strings.NewReplacer("A", a, "B", b).Replace(two) }
	for _, tt := range []struct{ name, text, want string }{
		{"token pattern", "svc {\n  hook {\n    token x read _math\n  }\n}\n", `Corefile:3: zone svc.: hook: token: bad service pattern "_math"; write it as _math._tcp`},
		{"name server above an instance", "svc {\n  ns ns1.tcp.svc. 192.0.2.1\n}\n", `Corefile:2: zone svc.: ns: ns1.tcp.svc.: the name belongs to the services`},
		{"hostmaster", "svc {\n  hostmaster " + strings.Repeat("a", 64) + ".\n}\n", `Corefile:2: hostmaster: bad name`},
		{"reverse twice", "svc {\n  reverse 10.0.0.0/8\n  reverse 10.0.0.0/8\n}\n", `Corefile:3: zone svc.: reverse: 10.in-addr.arpa. is served by zone svc. already`},
		{"reverse of two blocks", pair("reverse 10.0.0.0/8", "reverse 10.0.0.0/8"), `Corefile:7: zone srv.: reverse: 10.in-addr.arpa. is served by zone svc. already`},
		{"client CA that is none", "svc {\n  hook {\n    tls " + cert + " " + key + " " + file + "\n  }\n}\n", `Corefile:3: zone svc.: hook: tls: `},
		{"bind twice", "svc {\n  bind ::1 0:0:0:0:0:0:0:1\n}\n", `Corefile:2: zone svc.: bind: ::1 stands twice`},
		{"store in a file", "svc {\n  store bolt " + file + "/svc.db\n}\n", `Corefile:2: zone svc.: store: `},
		{"store is a folder", "svc {\n  store bolt " + dir + "\n}\n", `Corefile:2: zone svc.: store: ` + dir + ` is not a file; expected one such as ` + dir + `/svc.db`},
		{"origin too long", strings.Repeat("a.", 120) + " {\n  ttl 5s\n}\n", `Corefile:1: zone a.a.`},
		{"key twice", "svc {\n  tsig k. hmac-sha256 c2VjcmV0\n  tsig k. hmac-sha256 b3RoZXI=\n}\n", `Corefile:3: zone svc.: tsig: k. stands twice`},
		{"address before a name server", "svc {\n  ns 192.0.2.1 ns.svc.\n}\n", `Corefile:2: ns: 192.0.2.1 stands before any name`},
		{"udpsize of one address", pair("udpsize 1232", "udpsize 512"), `Corefile:7: zone srv.: udpsize: zone svc. on the same address, 127.0.0.1:5300, says otherwise`},
		{"nsid of one address", pair("nsid a", "nsid b"), `Corefile:7: zone srv.: nsid: zone svc.`},
		{"ratelimit of one address", pair("ratelimit 1", "ratelimit 2"), `Corefile:7: zone srv.: ratelimit: zone svc.`},
		{"tcp of one address", pair("tcp {\n    idle 1s\n  }", "tcp {\n    idle 2s\n  }"), `Corefile:9: zone srv.: tcp: zone svc.`},
		{"cookies of one address", pair("cookie 000102030405060708090a0b0c0d0e0f", "cookie f00102030405060708090a0b0c0d0e0f"), `Corefile:7: zone srv.: cookie: zone svc.`},
		{"certificates of one address", pair("tls "+cert+" "+key, "tls "+cert2+" "+key2), `Corefile:7: zone srv.: tls: zone svc. on the same address, tls://127.0.0.1:853, says otherwise`},
		{"store of another kind", "svc {\n  store bolt " + file + "\n}\n", `Corefile:2: zone svc.: store: boltstore: open ` + file + `: not a whole Rollcall store`},
		{"hooks of one port", "svc {\n}\nsrv {\n  hook localhost:8053\n}\n", `Corefile:4: zone srv.: hook: localhost:8053 and 127.0.0.1:8053, the hook of zone svc., cannot`},
		{"certificate of the hook", "svc {\n  hook {\n    rate 1\n    tls " + cert + " " + key2 + "\n  }\n}\n", `Corefile:4: zone svc.: hook: tls: `},
		{"no host's name", "svc {\n  ns *.svc.\n}\n", `Corefile:2: zone svc.: ns: `},
		{"an address mistyped", "svc {\n  ns ns1.svc. 192.0.2.300\n}\n", `Corefile:2: zone svc.: ns: 192.0.2.300.: looks like an IP address`},
		{"a name of one label", "svc {\n  ns ns1\n}\n", `Corefile:2: zone svc.: ns: ns1.: has only one label`},
		{"an address of one link", "svc {\n  ns ns1.svc. fe80::1\n}\n", `Corefile:2: zone svc.: ns: ns1.svc.: address fe80::1: a link-local`},
		{"an address told nowhere", "svc {\n  ns ns1.example.com 192.0.2.1\n}\n", `Corefile:2: zone svc.: ns: ns1.example.com.: it lies in no zone of this block`},
		{"bind to one link", "svc {\n  bind fe80::1\n}\n", `Corefile:2: zone svc.: bind: name server ns.svc.: `},
		{"reverse of mapped addresses", "svc {\n  reverse ::ffff:10.0.0.0/104\n}\n", `Corefile:2: reverse: bad prefix`},
		{"negative beyond ttl", "svc {\n  ttl 2s\n  negative 3s\n}\n", `Corefile:3: zone svc.: negative: 3s is more than the ttl 2s`},
		{"two at signs", "svc {\n  hostmaster a@b@c\n}\n", `Corefile:2: hostmaster: bad mailbox`},
		{"twice in a block", "svc {\n  lease 9s {\n    min 3s\n    min 4s\n  }\n}\n", `Corefile:4: min: stands at Corefile:3 already`},
		{"limits without a block", "svc {\n  limits\n}\n", `Corefile:2: limits: expected a block`},
		{"an address for a zone", "svc {\n}\n127.0.0.1:53 {\n}\n", `Corefile:3: zone "127.0.0.1:53": expected a zone name`},
		{"no brace", "svc nsid ns1\n", `Corefile:1: zone "nsid": nsid is a directive; is there no brace before it?`},
		{"another script", "m\u00fcller {\n}\n", `Corefile:1: zone "müller": expected a zone name`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseCorefile("Corefile", []byte(tt.text))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%s\n got %v\nwant %s", tt.text, err, tt.want)
			}
		})
	}
	// The same, or said once, is no contradiction.
	for _, text := range []string{
		pair("nsid a", "nsid a"), pair("ttl 5s", "udpsize 512"), pair("tsig k. hmac-sha256 c2VjcmV0", "tsig k. hmac-sha256 b3RoZXI="), // keys are a zone's
		strings.Replace(pair("nsid a", "nsid b"), "srv {", "srv:5301 {", 1),
		"svc {\n  store bolt " + dir + "/new/deep/svc.db\n}\n",
		"svc {\n  ns ns1.svc. 192.0.2.1 2001:db8::1 ns2.svc. 192.0.2.2\n  ns other.example.\n}\n",
	} {
		if _, err := ParseCorefile("Corefile", []byte(text)); err != nil {
			t.Errorf("%s%v", text, err)
		}
	}
}

// TestCorefileExampleShowsTheDefaults: what the example shows and the rooms do when
// nothing is said are the same values.
func TestCorefileExampleShowsTheDefaults(t *testing.T) {
	example := exampleZone(t)
	zero, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := zero.Zones[0]
	reg, err := registry.Check(registryConfig(want, nil))
	if err != nil {
		t.Fatal(err)
	}
	dns, err := nameserver.Check(nameserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hook.Check(hook.Config{})
	if err != nil {
		t.Fatal(err)
	}
	limits := h.Limits
	for _, v := range []struct {
		what      string
		got, want any
	}{
		{"bind", example.Bind, want.Bind},
		{"hook", example.Hook.Addr, want.Hook.Addr},
		{"hook rate", example.Hook.RequestRate, limits.Rate},
		{"hook connections", example.Hook.Connections, limits.Connections},
		{"hook per-address", example.Hook.PerAddress, limits.PerAddr},
		{"hook idle", example.Hook.Idle, limits.IdleTimeout},
		{"hook holds and watches", []int{example.Hook.Holds, example.Hook.Watches}, []int{limits.Holds, limits.Watches}},
		{"store", example.Store.Kind, want.Store.Kind},
		{"ttl", example.TTL, reg.TTL},
		{"negative", example.NegativeTTL, want.NegativeTTL},
		{"lease", []time.Duration{example.Lease, example.MinLease, example.MaxLease}, []time.Duration{reg.Lease, reg.MinLease, reg.MaxLease}},
		{"guard", []any{example.Guard.Percent, example.Guard.Leases, example.Guard.Max, example.Guard.NoProbe}, []any{reg.Guard.Percent, reg.Guard.Leases, reg.Guard.Max, reg.Guard.NoProbe}},
		{"limits", []int{example.Limits.Instances, example.Limits.PerService}, []int{reg.MaxInstances, reg.MaxPerService}},
		{"history", []any{example.History, example.HistoryAge}, []any{reg.History, reg.HistoryAge}},
		{"udpsize", example.DNS.UDPSize, dns.MaxUDP},
		{"ratelimit", example.DNS.RateLimit, dns.RateLimit.PerSecond},
		{"tcp", []any{example.DNS.TCPConnections, example.DNS.TCPPerAddress, example.DNS.TCPIdle}, []any{dns.TCP.Conns, dns.TCP.ConnsPerAddr, dns.TCP.Idle}},
		{"tls port", example.TLS.Port, want.TLS.Port},
	} {
		if !reflect.DeepEqual(v.got, v.want) {
			t.Errorf("Corefile.example says %s %v, the default is %v", v.what, v.got, v.want)
		}
	}
	if c := exampleConfig(t); c.LameDuck != zero.LameDuck || c.LogLevel != "info" {
		t.Errorf("lameduck %v, log %s", c.LameDuck, c.LogLevel)
	}
}
