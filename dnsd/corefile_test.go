package dnsd

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// exampleConfig reads Corefile.example with the variables and files that it names.
func exampleConfig(t *testing.T) Config {
	t.Helper()
	t.Setenv("ROLLCALL_TOKEN", "secret")
	t.Setenv("XFR_KEY", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
	t.Setenv("DNS_COOKIE_SECRET", "000102030405060708090a0b0c0d0e0f")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.token"), []byte("other-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	selfSigned(t, filepath.Join(dir, "dns.pem"), filepath.Join(dir, "dns.key"))
	c, err := ParseCorefile(filepath.Join(dir, "Corefile"), exampleText(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exampleZone(t *testing.T) Zone { return exampleConfig(t).Zones[0] }

func exampleText(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCorefileExampleHoldsEveryDirective(t *testing.T) {
	c, text := exampleConfig(t), exampleText(t)
	for name := range directives {
		if n := len(regexp.MustCompile(`(?m)^    `+name+`\b`).FindAll(text, -1)); n == 0 || (n > 1 && !directives[name].repeats) {
			t.Errorf("directive %q stands %d times in Corefile.example", name, n)
		}
	}
	z := c.Zones[0]
	if len(z.Hook.Tokens) != 2 || z.Hook.Tokens[1].Secret != "other-secret" || !z.Hook.Tokens[1].AnyHost {
		t.Errorf("tokens: got %+v", z.Hook.Tokens)
	}
	if z.Lease != 15*time.Second || z.MinLease != 3*time.Second || z.Bind[0] != "127.0.0.1:5300" {
		t.Errorf("zone: got %+v", z)
	}
}

func TestCorefileDirectivesAreInTheDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/corefile.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(directives)) {
		if !strings.Contains(string(text), "| `"+name+"` | ") {
			t.Errorf("docs/corefile.md has no row for %q", name)
		}
	}
}

func TestCorefileErrorsNamePlaceAndCure(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", " \n", `Corefile:1: empty file; expected a server block such as svc:5300 { }`},
		{"unknown directive", "svc {\n  leese 15s\n}\n", `Corefile:2: unknown directive "leese"; did you mean "lease"?`},
		{"far from any directive", "svc {\n  proxy x\n}\n", `Corefile:2: unknown directive "proxy"; expected one of bind, cookie, guard,`},
		{"bad duration", "svc {\n\n  lease 5x\n}\n", `Corefile:3: lease: bad duration "5x"; expected one such as 5s or 2m`},
		{"duration missing", "svc {\n  ttl\n}\n", `Corefile:2: ttl: expected a duration such as 5s or 2m`},
		{"ttl above half of lease", "svc {\n  lease 10s\n  ttl 6s\n}\n", `Corefile:3: zone svc.: ttl: 6s is more than half of the lease 10s`},
		{"lease out of bounds", "svc {\n  lease 10s {\n    max 5s\n  }\n}\n", `Corefile:2: zone svc.: lease: 10s is not within min 3s and max 5s`},
		{"inside lease", "svc {\n  lease 10s {\n    minn 5s\n  }\n}\n", `Corefile:3: minn: unknown inside lease; did you mean "min"?`},
		{"twice", "svc {\n  ttl 5s\n  ttl 4s\n}\n", `Corefile:3: ttl: stands at Corefile:2 already`},
		{"no braces allowed", "svc {\n  ttl 5s {\n  }\n}\n", `Corefile:2: ttl: takes no block in braces`},
		{"brace missing", "svc {\n  ttl 5s\n", `Corefile:2: unexpected end of file`},
		{"bind with port", "svc {\n  bind 127.0.0.1:53\n}\n", `Corefile:2: bind: bad address "127.0.0.1:53"; expected an IP address without port`},
		{"bad port", "svc:99999 {\n  ttl 5s\n}\n", `Corefile:1: zone "svc:99999": bad port "99999"`},
		{"two ports", "svc:53 srv:54 {\n  ttl 5s\n}\n", `the block has port 53 already`},
		{"same zone twice", "svc {\n  ttl 5s\n}\nSVC. {\n  ttl 5s\n}\n", `Corefile:4: zone svc.: given twice`},
		{"same hook twice", "svc {\n}\nsrv {\n}\n", `Corefile:3: zone srv.: hook: 127.0.0.1:8053 is that of zone svc. already; give each block its own`},
		{"root zone", ". {\n  ttl 5s\n}\n", `Corefile:1: zone .: origin "." is not a zone name`},
		{"empty token", "svc {\n  hook 127.0.0.1:8053 {\n    token {$ROLLCALL_UNSET} write\n  }\n}\n", `Corefile:3: the environment variable ROLLCALL_UNSET is not set`},
		{"token verb", "svc {\n  hook 127.0.0.1:8053 {\n    token x wriite\n  }\n}\n", `Corefile:3: token: unexpected "wriite"`},
		{"store", "svc {\n  store redis x\n}\n", `Corefile:2: store: expected memory, or bolt and a path`},
		{"guard", "svc {\n  guard 30\n}\n", `Corefile:2: guard: expected a share or off`},
		{"transfer key", "svc {\n  transfer {\n    to 192.0.2.1 key nokey.\n  }\n}\n", `Corefile:2: zone svc.: transfer: to 192.0.2.1: no tsig key is named nokey.`},
		{"tsig secret", "svc {\n  tsig k. hmac-sha256 {$ROLLCALL_UNSET}\n}\n", `Corefile:2: the environment variable ROLLCALL_UNSET is not set`},
		{"import of nothing", "svc {\n  import nothing/*\n}\n", `Corefile:2: import: no file matches nothing/*`},
		{"off loopback", "svc {\n  ttl 5s\n  hook 0.0.0.0:8053\n}\n", `Corefile:3: zone svc.: hook: 0.0.0.0:8053 is off loopback`},
		{"no such certificate", "svc {\n  tls nosuch.pem nosuch.key\n}\n", `Corefile:2: zone svc.: tls: open nosuch.pem`},
		{"ns twice", "svc {\n  ns a.svc. A.svc\n}\n", `Corefile:2: ns: a.svc. stands twice`},
		{"log", "svc {\n  log loud\n}\n", `Corefile:2: log: unknown level "loud"`},
		{"log format", "svc {\n  log info xml\n}\n", `Corefile:2: log: unknown format "xml"; expected json or console`},
		{"two logs", "svc {\n  log info\n}\nsrv {\n  hook 127.0.0.1:0\n  log info json\n}\n", `Corefile:6: log: Corefile:2 says "info"; the log is one for all blocks`},
		{"two lame ducks", "svc {\n  lameduck 1s\n}\nsrv {\n  hook 127.0.0.1:0\n  lameduck 0s\n}\n", `Corefile:6: lameduck: Corefile:2 says 1s; the process is one for all blocks`},
		{"empty word", "svc {\n  hook \"\" {\n  }\n}\n", `Corefile:2: hook: word 1 is empty`},
		{"empty word inside", "svc {\n  hook 127.0.0.1:0 {\n    tls \"\" \"\"\n  }\n}\n", `Corefile:3: tls: word 1 is empty`},
		{"address for a zone", "127.0.0.1:5300 {\n}\n", `Corefile:1: zone "127.0.0.1:5300": expected a zone name as in svc:5300 { }; an address goes inside, as in bind 127.0.0.1`},
		{"IPv6 address for a zone", "[::1]:5300 {\n}\n", `Corefile:1: zone "[::1]:5300": expected a zone name as in svc:5300 { }; an address goes inside, as in bind ::1`},
		{"one-line block", "svc {\n  lease 15s { min 3s max 24h }\n}\n", `Corefile:2: lease: "min" stands on the line of the opening brace; each line of a block needs a line of its own`},
		{"# within a word", "svc {\n  nsid host#7\n}\n", `Corefile:2: a "#" within a word: put the word into double quotes, or a blank before the "#"`},
		{"bind of two in one word", "svc {\n  bind \"127.0.0.1 ::1\"\n}\n", `Corefile:2: bind: bad address "127.0.0.1 ::1"; expected an IP address`},
		{"secret second", "svc {\n  hook {\n    token write S3CRET\n  }\n}\n", `Corefile:3: token: write stands where the secret belongs`},
		{"secret third", "svc {\n  hook {\n    token s3cret S3CRET\n  }\n}\n", `Corefile:3: token: word 1 behind the secret is unknown; expected read,`},
		{"secret with a blank", "svc {\n  hook {\n    token \"S3 CRET\" read\n  }\n}\n", `Corefile:3: token: the secret holds a blank`},
		{"name without a secret", "svc {\n  hook {\n    token name deploy\n  }\n}\n", `Corefile:3: token: expected a secret, as in: token name deploy`},
		{"tsig turned round", "svc {\n  tsig xfr. S3CRETS3CRETS3CRET= hmac-sha256\n}\n", `Corefile:2: tsig: the second word is no algorithm; expected one of hmac-sha256.`},
		{"import of itself", "svc {\n  import Corefile\n}\n", `import: no file matches Corefile`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseCorefile("Corefile", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseCorefile(%q):\n got %v\nwant %s", tt.text, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "CRET") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestCorefileSnippetsAndSeveralZones(t *testing.T) {
	c, err := ParseCorefile("Corefile", []byte(`
(leases) {
	lease 20s {
		min 2s
	}
}
svc. svc.example.:0 {
	bind 127.0.0.1 ::1
	import leases
	store bolt svc.db
}
other:5301 {
	hook [::1]:0
	log debug
}
`))
	if err != nil {
		t.Fatal(err)
	}
	z := c.Zones[0]
	if got := strings.Join(z.Origins, " ") + " " + strings.Join(z.Bind, " "); got != "svc. svc.example. 127.0.0.1:0 [::1]:0" {
		t.Errorf("first block: got %s", got)
	}
	if z.Lease != 20*time.Second || z.MinLease != 2*time.Second || z.Store != (Store{Kind: "bolt", Path: "svc.db", Ceiling: "svc.db.ceiling"}) {
		t.Errorf("first block: got %+v", z)
	}
	if c.LogLevel != "debug" || c.Zones[1].Bind[0] != "127.0.0.1:5301" {
		t.Errorf("second block: got %+v", c.Zones[1])
	}
}

func FuzzCorefile(f *testing.F) {
	example, err := os.ReadFile("../Corefile.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add("svc:5300 {\n bind ::1\n hook [::1]:0 {\n token a\n }\n}\n(a) {\n ttl 5s\n}\n")
	f.Add("svc { lease 1s { min 1s } } } {")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "import") || strings.Contains(text, "file") {
			t.Skip("reads files")
		}
		c, err := ParseCorefile(filepath.Join(dir, "Corefile"), []byte(text))
		if err != nil {
			if !strings.Contains(err.Error(), "Corefile") && !strings.HasPrefix(err.Error(), "dnsd: zone") {
				t.Errorf("error without a place: %v", err)
			}
			return
		}
		if _, err := c.withDefaults(); err != nil { // what was read is whole already
			t.Errorf("a parsed configuration is refused: %v", err)
		}
	})
}
