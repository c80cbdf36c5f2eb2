package dnsd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCorefileErrorsNamePlaceAndCure(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", " \n", `Corefile:1: empty file; expected a server block such as svc:5300 { }`},
		{"unknown directive", "svc {\n  leese 15s\n}\n", `Corefile:2: unknown directive "leese"; did you mean "lease"?`},
		{"far from any directive", "svc {\n  proxy x\n}\n", `Corefile:2: unknown directive "proxy"; expected one of bind, cookie, guard,`},
		{"inside lease", "svc {\n  lease 10s {\n    minn 5s\n  }\n}\n", `Corefile:3: minn: unknown inside lease; did you mean "min"?`},
		{"twice", "svc {\n  ttl 5s\n  ttl 4s\n}\n", `Corefile:3: ttl: already set at Corefile:2`},
		{"no braces allowed", "svc {\n  ttl 5s {\n  }\n}\n", `Corefile:2: ttl: does not take a { } block`},
		{"brace missing", "svc {\n  ttl 5s\n", `Corefile:2: unexpected end of file`},
		{"brace too many", "svc {\n  ttl 5s\n}\n}\n", `Corefile:4: this brace closes nothing`},
		{"bad port", "svc:99999 {\n  ttl 5s\n}\n", `Corefile:1: zone "svc:99999": bad port "99999"`},
		{"port after a blank", "svc 5301 {\n}\n", `Corefile:1: zone "5301": a port follows the zone name after a colon and without a blank, as in svc:5301 { }`},
		{"port alone", "5301 {\n}\n", `Corefile:1: zone "5301": a port follows the zone name`},
		{"zone that is no host name", "svc_x {\n}\n", `it is made from the name of the zone: choose a zone of letters, digits and hyphens, or name its servers by ns`},
		{"example of the hook", "svc {\n  hook 8053\n}\n", `Corefile:2: zone svc.: hook: bad address "8053"; expected IP:port such as 127.0.0.1:8053 or [::1]:8053`},
		{"two ports", "svc:53 srv:54 {\n  ttl 5s\n}\n", `the block has port 53 already`},
		{"empty token", "svc {\n  hook 127.0.0.1:8053 {\n    token {$ROLLCALL_UNSET} write\n  }\n}\n", `Corefile:3: the environment variable ROLLCALL_UNSET is not set`},
		{"token verb", "svc {\n  hook 127.0.0.1:8053 {\n    token x wriite\n  }\n}\n", `Corefile:3: token: unexpected "wriite"`},
		{"tsig secret", "svc {\n  tsig k. hmac-sha256 {$ROLLCALL_UNSET}\n}\n", `Corefile:2: the environment variable ROLLCALL_UNSET is not set`},
		{"import of nothing", "svc {\n  import nothing/*\n}\n", `Corefile:2: import: no file matches nothing/*`},
		{"two logs", "svc {\n  log info\n}\nsrv {\n  hook 127.0.0.1:0\n  log info json\n}\n", `Corefile:6: log: Corefile:2 says "info"; there is one log for all blocks`},
		{"two lame ducks", "svc {\n  lameduck 1s\n}\nsrv {\n  hook 127.0.0.1:0\n  lameduck 0s\n}\n", `Corefile:6: lameduck: Corefile:2 says 1s; there is one process for all blocks`},
		{"empty word", "svc {\n  hook \"\" {\n  }\n}\n", `Corefile:2: hook: word 1 is empty`},
		{"empty word inside", "svc {\n  hook 127.0.0.1:0 {\n    tls \"\" \"\"\n  }\n}\n", `Corefile:3: tls: word 1 is empty`},
		{"address for a zone", "127.0.0.1:5300 {\n}\n", `Corefile:1: zone "127.0.0.1:5300": expected a zone name as in svc:5300 { }; an address goes inside, as in bind 127.0.0.1`},
		{"IPv6 address for a zone", "[::1]:5300 {\n}\n", `Corefile:1: zone "[::1]:5300": expected a zone name as in svc:5300 { }; an address goes inside, as in bind ::1`},
		{"one-line block", "svc {\n  lease 15s { min 3s max 24h }\n}\n", `Corefile:2: lease: "min" is on the line of the opening brace; begin a new line after the brace`},
		{"# within a word", "svc {\n  nsid host#7\n}\n", `Corefile:2: a "#" within a word: put the word into double quotes, or a blank before the "#"`},
		{"bind of two in one word", "svc {\n  bind \"127.0.0.1 ::1\"\n}\n", `Corefile:2: bind: bad address "127.0.0.1 ::1"; expected an IP address`},
		{"secret second", "svc {\n  hook {\n    token write S3CRET\n  }\n}\n", `Corefile:3: token: write is where the secret belongs`},
		{"service for a secret", "svc {\n  hook {\n    token _math._tcp\n  }\n}\n", `Corefile:3: token: a service is where the secret belongs`},
		{"pattern for a secret", "svc {\n  hook {\n    token name math _math.* write\n  }\n}\n", `Corefile:3: token: a service is where the secret belongs`},
		{"all for a secret", "svc {\n  hook {\n    token * write\n  }\n}\n", `Corefile:3: token: * is where the secret belongs`},
		{"token name without name", "svc {\n  hook {\n    token deploy S3CRET write\n  }\n}\n", `; a name goes before the secret, as in: token name deploy {$ROLLCALL_TOKEN}`},
		{"upper case", "svc {\n  TTL 5s\n}\n", `Corefile:2: unknown directive "TTL"; did you mean "ttl"?`},
		{"only one word inside", "svc {\n  transfer {\n    192.0.2.1\n  }\n}\n", `Corefile:3: 192.0.2.1: unknown inside transfer; expected to`},
		{"brace without a blank", "svc:5300{\n}\n", `Corefile:1: zone "svc:5300{": expected a blank before the brace, as in svc:5300 { }`},
		{"ratelimit off", "svc {\n  ratelimit off\n}\n", `Corefile:2: ratelimit: bad number "off"; expected a whole number of at least 1, or 0 for no limit`},
		{"secret third", "svc {\n  hook {\n    token s3cret S3CRET\n  }\n}\n", `Corefile:3: token: word 1 after the secret is unknown; expected read,`},
		{"secret with a blank", "svc {\n  hook {\n    token \"S3 CRET\" read\n  }\n}\n", `Corefile:3: zone svc.: hook token: the secret has a blank`},
		{"name without a secret", "svc {\n  hook {\n    token name deploy\n  }\n}\n", `Corefile:3: token: expected a secret, as in: token name deploy`},
		{"tsig turned round", "svc {\n  tsig xfr. S3CRETS3CRETS3CRET= hmac-sha256\n}\n", `Corefile:2: zone svc.: tsig: the algorithm of xfr. is unknown; expected one of hmac-sha256,`},
		{"twice in braces", "svc {\n  lease 9s {\n    min 3s\n    min 4s\n  }\n}\n", `Corefile:4: min: already set at Corefile:3`},
		{"braces in braces", "svc {\n  lease 9s {\n    min 3s {\n    }\n  }\n}\n", `Corefile:3: min: does not take a { } block`},
		{"an address for the second zone", "svc {\n}\n127.0.0.1:53 {\n}\n", `Corefile:3: zone "127.0.0.1:53": expected a zone name`},
		{"no brace", "svc nsid ns1\n", `Corefile:1: zone "nsid": nsid is a directive; is the brace before it missing?`},
		{"another script", "m\u00fcller {\n}\n", `Corefile:1: zone "müller": expected a zone name`},
		{"import of itself", "svc {\n  import Corefile\n}\n", `import: no file matches Corefile`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := refusal(t, nil, "Corefile", tt.text)
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
	if z.Lease != (Lease{Default: 20 * time.Second, Min: 2 * time.Second}) || z.Store != (Store{Kind: "bolt", Path: "svc.db"}) {
		t.Errorf("first block: got %+v", z)
	}
	if c.Log.Level != "debug" || c.Zones[1].Bind[0] != "127.0.0.1:5301" {
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
		if err := c.Check(); err != nil && !strings.Contains(err.Error(), "Corefile") {
			t.Errorf("error without a place: %v", err)
		}
	})
}
