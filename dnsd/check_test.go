package dnsd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBlocksMustAgree: -validate and a reload refuse what contradicts another block, or
// cannot be served, in the line of the second.
func TestBlocksMustAgree(t *testing.T) {
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
	db := filepath.Join(dir, "svc.db")
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	for _, tt := range []struct{ name, text, want string }{
		{"same zone twice", "svc {\n  ttl 5s\n}\nSVC. {\n  ttl 5s\n}\n", `Corefile:4: zone svc.: svc. is listed twice`},
		{"same hook twice", "svc {\n}\nsrv {\n}\n", `Corefile:3: zone srv.: hook: 127.0.0.1:8053 is the hook of zone svc. already; give each block its own`},
		{"hooks of one port", "svc {\n}\nsrv {\n  hook localhost:8053\n}\n", `Corefile:4: zone srv.: hook: localhost:8053 and 127.0.0.1:8053, the hook of zone svc., cannot be open at the same time`},
		{"both wildcards", "svc {\n  bind 0.0.0.0 ::\n}\n", `Corefile:2: zone svc.: bind: [::]:5300 and 0.0.0.0:5300, the bind of zone svc., cannot be open at the same time; :: takes IPv4 as well, so leave 0.0.0.0 out`},
		{"same store twice", pair("store bolt "+db, "store bolt "+db), `Corefile:7: zone srv.: store: zone svc. uses ` + db + ` already; give each block its own file`},
		{"reverse of two blocks", pair("reverse 10.0.0.0/8", "reverse 10.0.0.0/8"), `Corefile:7: zone srv.: reverse: zone svc. serves 10.in-addr.arpa. already`},
		{"udpsize of one address", pair("udpsize 1232", "udpsize 512"), `Corefile:7: zone srv.: udpsize: zone svc. on the same address, 127.0.0.1:5300, has another value`},
		{"nsid of one address", pair("nsid a", "nsid b"), `Corefile:7: zone srv.: nsid: zone svc.`},
		{"ratelimit of one address", pair("ratelimit 1", "ratelimit 2"), `Corefile:7: zone srv.: ratelimit: zone svc.`},
		{"tcp of one address", pair("tcp {\n    idle 1s\n  }", "tcp {\n    connections 5\n    idle 2s\n  }"), `Corefile:11: zone srv.: tcp idle: zone svc.`},
		{"cookies of one address", pair("cookie 000102030405060708090a0b0c0d0e0f", "cookie f00102030405060708090a0b0c0d0e0f"), `Corefile:7: zone srv.: cookie: zone svc.`},
		{"certificates of one address", pair("tls "+cert+" "+key, "tls "+cert2+" "+key2), `Corefile:7: zone srv.: tls: zone svc. on the same address, tls://127.0.0.1:853, has another value`},
		{"root zone", ". {\n  ttl 5s\n}\n", `Corefile:1: zone .: "." cannot be a zone of services`},
		{"origin too long", strings.Repeat("a.", 120) + " {\n  ttl 5s\n}\n", `Corefile:1: zone a.a.`},
		{"client CA that is none", "svc {\n  hook {\n    tls " + cert + " " + key + " " + file + "\n  }\n}\n", `Corefile:3: zone svc.: hook tls: load client CA ` + file + `: there is no certificate in it`},
		{"certificate of another key", "svc {\n  hook {\n    rate 1\n    tls " + cert + " " + key2 + "\n  }\n}\n", `Corefile:4: zone svc.: hook tls: load certificate`},
		{"off loopback", "svc {\n  ttl 5s\n  hook 0.0.0.0:8053\n}\n", `Corefile:3: zone svc.: hook: 0.0.0.0:8053 is not a loopback address`},
	} {
		if err := refusal(t, s, "Corefile", tt.text); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %s\n got %v\nwant %s", tt.name, tt.text, err, tt.want)
		}
	}
	// The same value, or a value in one block only, is no contradiction.
	for _, text := range []string{
		pair("nsid a", "nsid a"), pair("ttl 5s", "udpsize 512"), pair("tsig k. hmac-sha256 c2VjcmV0", "tsig k. hmac-sha256 b3RoZXI="), // keys are a zone's
		strings.Replace(pair("nsid a", "nsid b"), "srv {", "srv:5301 {", 1),
		"svc {\n  store bolt " + dir + "/new/deep/svc.db\n}\n",
		"svc {\n  ns ns1.svc. 192.0.2.1 2001:db8::1 ns2.svc. 192.0.2.2\n  ns other.example.\n}\n",
	} {
		if err := refusal(t, nil, "Corefile", text); err != nil {
			t.Errorf("%s%v", text, err)
		}
	}
}

// TestAConfigMadeInGoIsRefusedByName: it has no lines, so the error says the zone and
// the setting.
func TestAConfigMadeInGoIsRefusedByName(t *testing.T) {
	for want, z := range map[string]Zone{
		`dnsd: zone svc.: lease min: 1s is too short`:                                          {Lease: Lease{Min: 1e9}},
		`dnsd: zone svc.: bind: bad address "localhost"; expected IP:port`:                     {Bind: []string{"localhost"}},
		`dnsd: zone svc.: store: unknown kind "redis"; expected memory, bolt, etcd or cluster`: {Store: Store{Kind: "redis"}},
		`dnsd: zone svc.: store: bolt needs the path of its file`:                              {Store: Store{Kind: "bolt"}},
		`dnsd: zone svc.: tls: a certificate needs its key`:                                    {DNS: DNS{TLS: TLS{Cert: "c.pem"}}},
		`dnsd: zone svc.: hook tls: a certificate needs its key`:                               {Hook: Hook{ClientCA: "ca.pem"}},
		`dnsd: zone svc.: hook token: the secret is empty`:                                     {Hook: Hook{Tokens: []Token{{}}}},
		`dnsd: zone a.example.: hook token: a verb is unknown; expected read,`:                 {Origins: []string{"A.example"}, Hook: Hook{Tokens: []Token{{Secret: "s", Verbs: []string{"own"}}}}},
		`dnsd: zone svc.: transfer to: it has neither an address nor a key`:                    {Transfer: Transfer{To: []Secondary{{}}}},
		`dnsd: zone svc.: tls: bad port 70000; expected 1 to 65535`:                            {DNS: DNS{TLSPort: 70_000}},
		`dnsd: zone svc.: hostmaster: "a b" is not a domain name that ends in a `:              {Apex: Apex{Hostmaster: "a b"}},
	} {
		if err := (Config{Zones: []Zone{z}}).Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
