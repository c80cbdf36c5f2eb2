package dnsd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// words are all directives, those in braces after the one that has them: "lease min".
func words() (all []string) {
	for name, d := range directives {
		all = append(all, name)
		for inner := range d.inside {
			all = append(all, name+" "+inner)
		}
	}
	slices.Sort(all)
	return all
}

// refusal is what dnsd -validate says of a Corefile, which is also what a reload says.
func refusal(t *testing.T, s *Server, file, text string) error {
	t.Helper()
	c, err := ParseCorefile(file, []byte(text))
	if err != nil {
		return err
	}
	c.Stores = noStores{}
	err = c.Check()
	if s == nil {
		return err
	}
	before := s.String()
	if again := s.Reload(c.Config); (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
		t.Errorf("%s\n-validate says %v\na reload says %v", text, err, again)
	}
	if err != nil && s.String() != before {
		t.Errorf("%s\nis refused, and has changed %s to %s", text, before, s.String())
	}
	return err
}

// noStores finds every shared store good, and opens none.
type noStores struct{}

func (noStores) Check(SharedStore) error { return nil }

func (noStores) Open(context.Context, SharedStore, *slog.Logger) (kv.Store, error) {
	return nil, errors.New("this test opens no store")
}

// TestEveryWrongValueNamesLineAndCure: each directive's wrong values are refused by
// -validate and by a reload, with the line, what is wrong and what is expected.
func TestEveryWrongValueNamesLineAndCure(t *testing.T) {
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, tt := range []struct{ path, body, want string }{
		{"bind", "bind", "2: bind: expected one or more IP addresses"},
		{"bind", "bind 127.0.0.1:53", `2: bind: bad address "127.0.0.1:53"; expected an IP address without port`},
		{"bind", "bind ::1\nbind ::1", "3: zone svc.: bind: ::1 is listed twice"},
		{"bind", "bind fe80::1", "2: zone svc.: bind: name server ns.svc.: the name is in the zone and has no address that others can use, so no resolver could find it; give it an address"},
		{"hook", "hook a b", "2: hook: expected one address, as in: hook 127.0.0.1:8053"},
		{"hook", "hook localhost", `2: zone svc.: hook: bad address "localhost"; expected IP:port`},
		{"hook", "hook 127.0.0.1:5300", "2: zone svc.: hook: 127.0.0.1:5300 and 127.0.0.1:5300, the bind of zone svc., cannot be open at the same time; give them different ports"},
		{"hook", "hook 192.0.2.1:8053", "2: zone svc.: hook: 192.0.2.1:8053 is not a loopback address, so anyone could register; in a Corefile, give the hook a token, a client CA or the directive insecure"},
		{"hook tls", "hook {\ntls a\n}", "3: tls: expected files, as in: tls CERT KEY [CLIENT-CA]"},
		{"hook tls", "hook {\nrate 1\ntls nosuch.pem nosuch.key\n}", "4: zone svc.: hook tls: load certificate "},
		{"hook token", "hook {\ntoken\n}", "3: token: expected a secret"},
		{"hook token", "hook {\ntoken a\ntoken b _math\n}", `4: zone svc.: hook token: bad service pattern "_math"; write it as _math._tcp, _math.*`},
		{"hook token", "hook {\ntoken \"a b\"\n}", "3: zone svc.: hook token: the secret has a blank or a character that an HTTP header cannot carry"},
		{"hook token", "hook {\ntoken file nosuch\n}", "3: token: open "},
		{"hook insecure", "hook {\ninsecure yes\n}", "3: insecure: expected no word after it"},
		{"hook rate", "hook {\nrate 0\n}", `3: rate: bad number "0"; expected a whole number of at least 1`},
		{"hook rate", "hook {\nrate 10000001\n}", "3: zone svc.: hook rate: 10000001; expected 1 to 10000000"},
		{"hook connections", "hook {\nconnections 1000001\n}", "3: zone svc.: hook connections: 1000001; expected 1 to 1000000"},
		{"hook per-address", "hook {\nidle 1s\nper-address 1000001\n}", "4: zone svc.: hook per-address: 1000001; expected 1 to 1000000"},
		{"hook idle", "hook {\nidle 0s\n}", `3: idle: bad duration "0s"; expected one such as 5s or 2m`},
		{"hook holds", "hook {\nholds 1000001\n}", "3: zone svc.: hook holds: 1000001; expected 1 to 1000000"},
		{"hook watches", "hook {\nwatches 1000001\n}", "3: zone svc.: hook watches: 1000001; expected 1 to 1000000"},
		{"store", "store redis x", "2: store: expected memory, bolt PATH, etcd URL... or cluster DIR, as in: store bolt data/svc.db"},
		{"store", "store etcd3 https://10.0.0.1:2379", `2: store: unknown kind "etcd3"; did you mean "etcd"?`},
		{"store", "store bolt " + key, "2: zone svc.: store: boltstore: open " + key + ": not a whole Rollcall store"},
		{"store", "store bolt " + key + "/svc.db", "2: zone svc.: store: "},
		{"store", "store bolt " + dir, "2: zone svc.: store: " + dir + " is not a file; expected one such as " + dir + "/svc.db"},
		{"store prefix", "store etcd https://10.0.0.1:2379 {\nprefix\n}", "3: prefix: expected what all keys begin with, as in: prefix /rollcall/svc"},
		{"store tls", "store etcd https://10.0.0.1:2379 {\ntls a b\n}", "3: tls: expected files, as in: tls CERT KEY CA, or tls CA"},
		{"store insecure", "store etcd https://10.0.0.1:2379 {\ninsecure yes\n}", "3: insecure: expected no word after it"},
		{"store user", "store etcd https://10.0.0.1:2379 {\nuser root secret\n}", "3: user: expected a name and the file of the password, as in: user rollcall file /etc/dnsd/etcd.password"},
		{"store peer", "store cluster d {\npeer a\n}", "3: peer: expected a name and the URL of its server, as in: peer a https://10.0.0.1:2380"},
		{"store session", "store etcd https://10.0.0.1:2379 {\nsession 5\n}", `3: session: bad duration "5"; expected one such as 5s or 2m`},
		{"store name", "store etcd https://10.0.0.1:2379 {\nname a b\n}", "3: name: expected the name of this dnsd, as in: name a"},
		{"store listen", "store etcd https://10.0.0.1:2379 {\nlisten\n}", "3: listen: expected an address for the other dnsd, as in: listen 10.0.0.1:8054"},
		{"store advertise", "store etcd https://10.0.0.1:2379 {\nadvertise\n}", "3: advertise: expected the address that the other dnsd use, as in: advertise 10.0.0.1:8054"},
		{"store cache", "store etcd https://10.0.0.1:2379 {\ncache\n}", "3: cache: expected a file or off, as in: cache data/svc.copy"},
		{"ttl", "ttl 5x", `2: ttl: bad duration "5x"; expected one such as 5s or 2m`},
		{"ttl", "ttl", "2: ttl: expected a duration such as 5s or 2m"},
		{"ttl", "ttl 1500ms", "2: zone svc.: ttl: 1.5s; expected whole seconds, at least 1s"},
		{"ttl", "lease 10s\nttl 6s", "3: zone svc.: ttl: 6s is more than half of the lease, 10s"},
		{"negative", "negative 100ms", "2: zone svc.: negative: 100ms; expected whole seconds, at least 1s"},
		{"negative", "ttl 2s\nnegative 3s", "3: zone svc.: negative: 3s is more than the TTL, 2s"},
		{"lease", "lease -1s", `2: lease: bad duration "-1s"; expected one such as 5s`},
		{"lease", "lease 1s", "2: zone svc.: lease: 1s is too short; expected at least 2s"},
		{"lease", "lease 10s {\nmax 5s\n}", "2: zone svc.: lease: 10s is not between the least lease, 3s, and the longest, 5s"},
		{"lease", "lease 2s", "2: zone svc.: lease: 2s is not between the least lease, 3s, and the longest, 24h0m0s"},
		{"lease", "lease 25h", "2: zone svc.: lease: 25h0m0s is not between the least lease, 3s, and the longest, 24h0m0s"},
		{"lease min", "lease {\nmin 1s\n}", "3: zone svc.: lease min: 1s is too short; expected at least 2s"},
		{"lease max", "lease 9s {\nmin 9s\nmax 8s\n}", "4: zone svc.: lease max: 8s is below the least lease, 9s"},
		{"guard", "guard 30", "2: guard: expected a share or off, as in: guard 30%"},
		{"guard", "guard 0%", `2: guard: bad share "0%"; expected 1% to 100%`},
		{"guard", "guard 101%", "2: zone svc.: guard: 101%; expected 1% to 100%"},
		{"guard leases", "guard {\nleases 1001\n}", "3: zone svc.: guard leases: 1001; expected 1 to 1000"},
		{"guard max", "guard {\nmax x\n}", `3: max: bad duration "x"; expected one such as 5s`},
		{"guard probe", "guard {\nprobe yes\n}", "3: probe: expected on or off"},
		{"limits", "limits", "2: limits: expected a { } block"},
		{"limits instances", "limits {\ninstances 100000001\n}", "3: zone svc.: limits instances: 100000001; expected 1 to 100000000"},
		{"limits per-service", "limits {\ninstances 5\nper-service -1\n}", `4: per-service: bad number "-1"; expected a whole number`},
		{"history", "history", "2: history: expected a number of changes and an age"},
		{"history", "history 100000001", "2: zone svc.: history: 100000001; expected 1 to 100000000"},
		{"history", "history 5 0s", `2: history: bad duration "0s"; expected one such as 5s`},
		{"ns", "ns", "2: ns: expected names of name servers"},
		{"ns", "ns a.svc.\nns A.svc", "3: zone svc.: ns: a.svc.: the name is listed twice"},
		{"ns", "ns 192.0.2.1 ns.svc.", "2: ns: address 192.0.2.1 comes before any name; expected the name of a server and then its addresses"},
		{"ns", "ns ns.example.\nns ns1.tcp.svc. 192.0.2.1", "3: zone svc.: ns: ns1.tcp.svc.: the name belongs to the services; use one outside of"},
		{"ns", "ns *.svc.", "2: zone svc.: ns: *.svc.: must be an IP address or a host name"},
		{"ns", "ns ns1.svc. 192.0.2.300", "2: zone svc.: ns: 192.0.2.300.: looks like an IP address"},
		{"ns", "ns ns1", "2: zone svc.: ns: ns1.: has only one label"},
		{"ns", "ns ns1.svc. fe80::1", "2: zone svc.: ns: ns1.svc.: address fe80::1: a link-local address"},
		{"ns", "ns ns1.example.com 192.0.2.1", "2: zone svc.: ns: ns1.example.com.: the name is in no zone of this block, so other servers publish its addresses; leave them out"},
		{"hostmaster", "hostmaster a@b@c", `2: hostmaster: bad mailbox "a@b@c"; expected one such as admin@example.`},
		{"hostmaster", "hostmaster " + strings.Repeat("a", 64) + ".", "2: hostmaster: bad name"},
		{"reverse", "reverse 10.0.0.0", `2: reverse: bad prefix "10.0.0.0"; expected one such as 10.0.0.0/8`},
		{"reverse", "reverse 10.0.0.0/8 10.1.0.0/8", "2: zone svc.: reverse: bad prefix 10.1.0.0/8; expected one such as 10.0.0.0/8, with no bit set after its length"},
		{"reverse", "reverse 10.0.0.0/8\nreverse 10.0.0.0/12", "3: zone svc.: reverse: bad length of prefix 10.0.0.0/12; expected a multiple of 8 bits"},
		{"reverse", "reverse 10.0.0.0/8\nreverse 10.0.0.0/8", "3: zone svc.: reverse: zone svc. serves 10.in-addr.arpa. already; list it once"},
		{"reverse", "reverse ::ffff:10.0.0.0/104", "2: zone svc.: reverse: bad prefix"},
		{"transfer", "transfer 192.0.2.1", "2: transfer: expected a { } block with lines such as: to 192.0.2.53 key xfr."},
		{"transfer to", "transfer {\nto\n}", "3: to: expected an address and perhaps a key"},
		{"transfer to", "transfer {\nto 192.0.2.1\nto ns.example\n}", `4: zone svc.: transfer to: bad address "ns.example"; expected IP, IP:port or a prefix`},
		{"transfer to", "transfer {\nto 192.0.2.1\n}\ntransfer {\nto 192.0.2.1 key nokey.\n}", "6: zone svc.: transfer to: no TSIG key is named nokey."},
		{"tsig", "tsig k.", "2: tsig: expected name, algorithm and secret, as in: tsig xfr. hmac-sha256"},
		{"tsig", "tsig a. hmac-sha256 c2VjcmV0\ntsig xfr. c2VjcmV0 hmac-sha256", "3: zone svc.: tsig: the algorithm of xfr. is unknown; expected one of hmac-sha256,"},
		{"tsig", "tsig xfr. hmac-sha256 !", "2: zone svc.: tsig: the secret of xfr. is empty or not base64; is its environment variable set?"},
		{"tsig", "tsig k. hmac-sha256 c2VjcmV0\ntsig k. hmac-sha256 b3RoZXI=", "3: zone svc.: tsig: k. is listed twice"},
		{"tls", "tls cert.pem", "2: tls: expected files and perhaps a port, as in: tls cert.pem key.pem 853"},
		{"tls", "tls nosuch.pem nosuch.key", "2: zone svc.: tls: load certificate "},
		{"tls", "tls nosuch.pem nosuch.key 65536", "2: zone svc.: tls: bad port 65536; expected 1 to 65535"},
		{"udpsize", "udpsize 5000", "2: zone svc.: udpsize: 5000 octets; expected 512 to 4096"},
		{"udpsize", "udpsize big", `2: udpsize: bad number "big"; expected a whole number`},
		{"ratelimit", "ratelimit 1000001", "2: zone svc.: ratelimit: 1000001; expected at most 1000000"},
		{"ratelimit", "ratelimit -1", `2: ratelimit: bad number "-1"; expected a whole number of at least 1, or 0 for no limit`},
		{"nsid", "nsid", "2: nsid: expected a short text, as in: nsid ns1"},
		{"nsid", "nsid " + strings.Repeat("n", 65), "2: zone svc.: nsid: 65 octets; expected at most 64"},
		{"cookie", "cookie", "2: cookie: expected secrets of 32 hexadecimal digits"},
		{"cookie", "cookie 000102030405060708090a0b0c0d0e0f\ncookie 0001", "3: zone svc.: cookie: the secret is not 32 hexadecimal digits"},
		{"tcp", "tcp 5", "2: tcp: expected a { } block"},
		{"tcp connections", "tcp {\nconnections 1000001\n}", "3: zone svc.: tcp connections: 1000001; expected 1 to 1000000"},
		{"tcp per-address", "tcp {\nper-address 1000001\n}", "3: zone svc.: tcp per-address: 1000001; expected 1 to 1000000"},
		{"push", "push on", "2: push: expected off or a { } block"},
		{"push name", "push {\nname dns.example.com\n}", "3: zone svc.: push name: clients that find the server by its name need TLS"},
		{"push name", "push {\nname a b c\n}", "3: name: expected the host name in the certificate"},
		{"push name", "tls dns.pem dns.key\npush {\nname dns.example.com 70000\n}", "4: zone svc.: push name: bad port 70000; expected 1 to 65535"},
		{"push sessions", "push {\nsessions 1000001\n}", "3: zone svc.: push sessions: 1000001; expected 1 to 1000000"},
		{"push per-address", "push {\nper-address 1000001\n}", "3: zone svc.: push per-address: 1000001; expected 1 to 1000000"},
		{"tcp idle", "tcp {\nidle 5\n}", `3: idle: bad duration "5"; expected one such as 5s`},
		{"log", "log loud", `2: log: unknown level "loud"; expected debug, info, warn or error`},
		{"log", "log info xml", `2: log: unknown format "xml"; expected json or console`},
		{"lameduck", "lameduck soon", `2: lameduck: bad duration "soon"; expected one such as 5s`},
	} {
		tested[tt.path] = true
		file := filepath.Join(dir, "Corefile")
		text := "svc {\n" + tt.body + "\n}\n"
		if err := refusal(t, s, file, text); err == nil || !strings.HasPrefix(err.Error(), file+":"+tt.want) {
			t.Errorf("%s\n got %v\nwant %s:%s", text, err, file, tt.want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\nis not one line: %v", text, err)
		}
	}
	for _, path := range words() {
		if !tested[path] {
			t.Errorf("no wrong value of %q is tested", path)
		}
	}
}

// TestEveryFieldHasADirective: what a room refuses is said in the words of the Corefile.
func TestEveryFieldHasADirective(t *testing.T) {
	all := words()
	for _, room := range []map[string]string{registryWords, zoneWords, hookWords, serverWords, memberWords} {
		for field, path := range room {
			if path != "" && !slices.Contains(all, path) {
				t.Errorf("%s is %q, which is no directive", field, path)
			}
		}
	}
}
