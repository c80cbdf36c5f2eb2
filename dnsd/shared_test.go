package dnsd

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSharedStoresAreRefusedInTheirLine: each mistake that can be seen without the store
// is told with its line by -validate and by a reload.
func TestSharedStoresAreRefusedInTheirLine(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	selfSigned(t, path("cert.pem"), path("key.pem"))
	selfSigned(t, path("ca.pem"), path("other.key"))
	for name, text := range map[string]string{"empty": "", "blank": "\nsecret\n", "password": "secret\n"} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	etcd := func(lines ...string) string {
		return "svc {\nstore etcd https://10.0.0.1:2379 {\nname a\n" + strings.Join(lines, "\n") + "\n}\n}\n"
	}
	cluster := func(lines ...string) string {
		return "svc {\nstore cluster data {\npeer a http://127.0.0.1:2380\n" + strings.Join(lines, "\n") + "\n}\n}\n"
	}
	two := func(a, b string) string {
		return "svc {\nhook 127.0.0.1:0\nstore " + a + "\n}\n}\nsrv {\nhook 127.0.0.1:0\nstore " + b + "\n}\n}\n"
	}
	tls := "tls cert.pem key.pem ca.pem"
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	for _, tt := range []struct{ text, want string }{
		{"svc {\nstore memory {\n}\n}\n", "2: store: memory does not take a { } block"},
		{"svc {\nstore bolt svc.db {\nprefix /a\n}\n}\n", "2: store: bolt does not take a { } block"},
		{"svc {\nstore etcd\n}\n", "2: store: expected the URLs of etcd, as in: store etcd https://10.0.0.1:2379 https://10.0.0.2:2379"},
		{"svc {\nstore cluster a b {\n}\n}\n", "2: store: expected a folder, and a { } block with peers, as in: store cluster data/svc {"},
		{etcd("sesion 5s"), `4: sesion: unknown inside store; did you mean "session"?`},
		{etcd("session 5s", "session 6s"), "5: session: already set at Corefile:4"},

		{"svc {\nstore etcd 10.0.0.1:2379\n}\n", `2: zone svc.: store: bad URL "10.0.0.1:2379"; expected one such as https://10.0.0.1:2379`},
		{"svc {\nstore etcd https://10.0.0.1\n}\n", `2: zone svc.: store: bad URL "https://10.0.0.1"; expected one such as https://10.0.0.1:2379`},
		{"svc {\nstore etcd https://10.0.0.1:2379/v3\n}\n", `2: zone svc.: store: bad URL "https://10.0.0.1:2379/v3"; expected one such as`},
		{"svc {\nstore etcd unix://x\n}\n", `2: zone svc.: store: bad URL "unix://x"; expected one such as`},
		{"svc {\nstore etcd https://0.0.0.0:2379\n}\n", `2: zone svc.: store: bad URL "https://0.0.0.0:2379"; expected the address of one host`},
		{"svc {\nstore etcd https://root:secret@10.0.0.1:2379\n}\n", "2: zone svc.: store: a URL has a user or a password in it; write it without, and use the line: user NAME file PATH"},
		{"svc {\nstore etcd https://10.0.0.1:2379 https://10.0.0.1:2379/\n}\n", "2: zone svc.: store: https://10.0.0.1:2379 is listed twice"},
		{"svc {\nstore etcd https://10.0.0.1:2379 http://127.0.0.1:2379\n}\n", "2: zone svc.: store: https://10.0.0.1:2379 and http://127.0.0.1:2379: one is encrypted and the other is not; use https for all"},
		{"svc {\nstore etcd http://10.0.0.1:2379\n}\n", "2: zone svc.: store: http://10.0.0.1:2379 is not encrypted, and is not on loopback; use https, or add the line: insecure"},
		{"svc {\nstore etcd http://etcd.example:2379\n}\n", "2: zone svc.: store: http://etcd.example:2379 is not encrypted, and is not on loopback;"},
		{"svc {\nstore etcd" + strings.Repeat(" https://10.0.0.1:2379", 17) + "\n}\n", "2: zone svc.: store: 17 URLs of etcd; expected 1 to 16"},
		{etcd("prefix rollcall"), `4: zone svc.: store prefix: "rollcall"; expected one that begins with a slash and does not end with one, like /rollcall/svc, of at most 256 printable characters`},
		{etcd("prefix /rollcall/"), `4: zone svc.: store prefix: "/rollcall/"; expected one that begins with a slash and does not end with one`},
		{etcd("prefix /"), `4: zone svc.: store prefix: "/"; expected one that begins with`},
		{etcd("prefix /" + strings.Repeat("a", 256)), `4: zone svc.: store prefix: "/aaaa`},
		{etcd("session 1999ms"), "4: zone svc.: store session: 1.999s; expected 2s to 1m0s"},
		{etcd("session 61s"), "4: zone svc.: store session: 1m1s; expected 2s to 1m0s"},
		{"svc {\nstore etcd https://10.0.0.1:2379 {\nname a=b\n}\n}\n", `3: zone svc.: store name: bad name "a=b"; expected 1 to 63 letters, digits, dots and hyphens, such as a`},
		{etcd("user rollcall file nosuch"), "4: zone svc.: store user: open " + path("nosuch") + ": no such file or directory"},
		{etcd("user rollcall file blank"), "4: zone svc.: store user: the first line of " + path("blank") + " is empty; expected the password"},
		{etcd("tls nosuch"), "4: zone svc.: store tls: open " + path("nosuch") + ": no such file or directory"},
		{etcd("tls empty"), "4: zone svc.: store tls: there is no certificate in " + path("empty")},
		{etcd("tls cert.pem other.key ca.pem"), "4: zone svc.: store tls: load certificate " + path("cert.pem") + ", key " + path("other.key") + ": "},
		{"svc {\nstore etcd http://127.0.0.1:2379 {\nname a\ntls ca.pem\n}\n}\n", "4: zone svc.: store tls: the URLs begin with http://, so nothing would use the files; write https://, or leave the line out"},
		{etcd("listen 8054"), `4: zone svc.: store listen: bad address "8054"; expected IP:port such as`},
		{etcd("advertise 10.0.0.1"), `4: zone svc.: store advertise: bad address "10.0.0.1"; expected what the other dnsd reach this one by, as in 10.0.0.1:8054`},
		{etcd("advertise 0.0.0.0:8054"), `4: zone svc.: store advertise: bad address "0.0.0.0:8054"; expected what`},
		{etcd("advertise :8054"), `4: zone svc.: store advertise: bad address ":8054"; expected what`},
		{etcd("advertise a:http"), `4: zone svc.: store advertise: bad address "a:http"; expected host:port such as 10.0.0.1:8054`},
		{etcd("listen 10.0.0.1:8054", "advertise 10.0.0.1:0"), `5: zone svc.: store advertise: bad address "10.0.0.1:0"; expected host:port`},
		{etcd("cache " + dir), "4: zone svc.: store cache: " + dir + " is not a file; expected one such as " + path("svc.copy")},
		{etcd("cache empty/svc.copy"), "4: zone svc.: store cache: "},
		{etcd("listen 127.0.0.1:8053"), "4: zone svc.: store listen: 127.0.0.1:8053 and 127.0.0.1:8053, the hook of zone svc., cannot be open at the same time; give them different ports or addresses"},
		{etcd("listen 127.0.0.1:5300"), "4: zone svc.: store listen: 127.0.0.1:5300 and 127.0.0.1:5300, the bind of zone svc., cannot be open"},
		{"svc {\nhook 127.0.0.1:65535\nstore etcd https://10.0.0.1:2379 {\nname a\n}\n}\n", "3: zone svc.: store: there is no port after the hook's, 65535; add the line: listen IP:PORT"},
		{etcd("peer a https://10.0.0.1:2380"), "4: zone svc.: store peer: peers are for store cluster; the servers of etcd go after store etcd"},

		{"svc {\nstore cluster data\n}\n", "2: zone svc.: store: 0 peers; expected 1 to 7 lines such as: peer a https://10.0.0.1:2380"},
		{cluster("user a file password"), "4: zone svc.: store user: a user is for store etcd; the servers of a cluster know each other by their certificates"},
		{cluster("peer a http://127.0.0.2:2380"), "4: zone svc.: store peer: peer a is listed twice"},
		{cluster("peer b http://127.0.0.1:2380"), "4: zone svc.: store peer: http://127.0.0.1:2380 is listed twice"},
		{cluster("peer b, http://127.0.0.1:2381"), `4: zone svc.: store peer: bad name "b,"; expected`},
		{cluster("peer b http://127.0.0.1"), `4: zone svc.: store peer: bad URL "http://127.0.0.1"; expected one such as https://10.0.0.1:2380`},
		{cluster("peer b https://0.0.0.0:2380"), `4: zone svc.: store peer: bad URL "https://0.0.0.0:2380"; expected the address of one host, as in https://10.0.0.1:2380`},
		{cluster("peer b https://x:y@10.0.0.2:2380"), "4: zone svc.: store peer: a URL has a user or a password in it; write it without: peers know each other by their certificates"},
		{cluster("peer b http://10.0.0.2:2380"), "4: zone svc.: store peer: http://10.0.0.2:2380 is not encrypted, and is not on loopback; use https, or add the line: insecure"},
		{cluster("peer b https://10.0.0.2:2380"), "4: zone svc.: store peer: http://127.0.0.1:2380 and https://10.0.0.2:2380: one is encrypted and the other is not; use https for all"},
		{cluster("name d"), `4: zone svc.: store name: "d" is none of the peers a`},
		{cluster(), `2: zone svc.: store: the host name, "` + host + `", is none of the peers a; add the line: name NAME`},
		{cluster("name a", tls), "5: zone svc.: store tls: the peers' URLs begin with http://, so nothing would use the files;"},
		{"svc {\nstore cluster data {\nname a\npeer a https://10.0.0.1:2380\n}\n}\n", "2: zone svc.: store: the peers' URLs begin with https://, so this dnsd needs a certificate; add the line: tls CERT KEY CA"},
		{"svc {\nstore cluster data {\nname a\npeer a https://10.0.0.1:2380\ntls ca.pem\n}\n}\n", "2: zone svc.: store: the peers' URLs begin with https://, so this dnsd needs a certificate;"},
		{"svc {\nstore cluster data {\nname a\n" + tls + "\npeer a https://10.0.0.1:2380\npeer b https://b.example:2380\n}\n}\n", "6: zone svc.: store peer: the address of b.example is not known here, so it cannot be published as a name server; add lines such as: ns ns1.svc. 10.0.0.1, the same in each dnsd"},
		{"svc {\nhook 127.0.0.1:2380\nstore cluster data {\nname a\npeer a http://127.0.0.1:2380\n}\n}\n", "5: zone svc.: store peer: 127.0.0.1:2380 and 127.0.0.1:2380, the hook of zone svc., cannot be open at the same time;"},
		{"svc {\nns ns1.svc. 10.0.0.1\nstore cluster data {\nname a\npeer a https://a.example:8053\n" + tls + "\n}\n}\n", "5: zone svc.: store peer: [::]:8053 and 127.0.0.1:8053, the hook of zone svc., cannot be open at the same time;"},
		{"svc {\nstore cluster empty {\nname a\npeer a http://127.0.0.1:2380\n}\n}\n", "2: zone svc.: store: " + path("empty") + " is not a folder"},

		{two("etcd https://10.0.0.1:2379 {\nprefix /a", "etcd https://10.0.0.2:2379 https://10.0.0.1:2379 {\nprefix /a"), "10: zone srv.: store prefix: /a, and /a of zone svc. in the same etcd: no prefix may contain the other; give each block its own, or put both zones into one block"},
		{two("etcd https://10.0.0.1:2379 {\nprefix /rollcall", "etcd https://10.0.0.1:2379 {"), "9: zone srv.: store prefix: /rollcall/srv, and /rollcall of zone svc. in the same etcd"},
		{two("etcd https://10.0.0.1:2379 {\ncache a.copy", "etcd https://10.0.0.1:2379 {\ncache a.copy"), "10: zone srv.: store cache: zone svc. uses " + path("a.copy") + " already; give each block its own file"},
		{two("cluster data {\nname a\npeer a http://127.0.0.1:2380", "cluster data {\nname a\npeer a http://127.0.0.1:2381"), "10: zone srv.: store: zone svc. uses " + path("data") + " already; give each block its own folder"},
		{two("cluster d1 {\nname a\npeer a http://127.0.0.1:2380", "cluster d2 {\nname a\npeer a http://127.0.0.1:2380"), "12: zone srv.: store peer: 127.0.0.1:2380 and 127.0.0.1:2380, the store peer of zone svc., cannot be open at the same time"},
	} {
		err := refusal(t, s, path("Corefile"), tt.text)
		want := path("Corefile") + ":" + strings.ReplaceAll(tt.want, "Corefile:", path("Corefile")+":")
		switch {
		case err == nil || !strings.HasPrefix(err.Error(), want):
			t.Errorf("%s\n got %v\nwant %s", tt.text, err, want)
		case strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s\nis not one line without the password: %v", tt.text, err)
		}
	}
	// What is good, beside what is not.
	for _, text := range []string{
		etcd(), etcd(tls), etcd("tls ca.pem"), etcd("user rollcall file password"), etcd("session 2s"), etcd("session 60s"), etcd("cache off"),
		etcd("listen 127.0.0.1:0", "advertise node-1.example:0"), etcd("listen [::]:8054", "advertise [2001:db8::1]:8054"), etcd("cache new/deep/svc.copy"),
		"svc {\nstore etcd http://10.0.0.1:2379 {\nname a\ninsecure\n}\n}\n", "svc {\nstore etcd http://localhost:2379 http://[::1]:2379 {\nname a\n}\n}\n",
		cluster("name a"), cluster("name a", "peer b http://127.0.0.1:2381"),
		"svc {\nns ns1.svc. 10.0.0.1\nstore cluster data {\nname a\npeer a https://a.example:2380\n" + tls + "\n}\n}\n",
		two("etcd https://10.0.0.1:2379 {\nname a", "etcd https://10.0.0.1:2379 {\nname a"),
		two("etcd https://10.0.0.1:2379 {\nname a\nprefix /a", "etcd https://10.0.0.1:2379 {\nname a\nprefix /ab"),
		two("etcd https://10.0.0.1:2379 {\nname a\nprefix /a", "etcd https://10.0.0.2:2379 {\nname a\nprefix /a/b"),
		two("cluster d1 {\nname a\npeer a http://127.0.0.1:2380", "cluster d2 {\nname a\npeer a http://127.0.0.1:2381"),
	} {
		if err := refusal(t, nil, path("Corefile"), text); err != nil {
			t.Errorf("%s%v", text, err)
		}
	}
}

// TestSharedStoreHasDefaults: what a Corefile leaves out depends on the zone, the hook and
// the peers.
func TestSharedStoreHasDefaults(t *testing.T) {
	shared := func(z Zone, stateDir string) SharedStore {
		t.Helper()
		w, err := Config{Zones: []Zone{z}, StateDir: stateDir, Stores: noStores{}}.checked()
		if err != nil {
			t.Fatal(err)
		}
		if w.Zones[0].Store.Ceiling != "" {
			t.Errorf("there is a ceiling, %s: the store has the highest revision", w.Zones[0].Store.Ceiling)
		}
		return *w.Zones[0].Store.Shared
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	etcd := func() *SharedStore { return &SharedStore{Endpoints: []string{"HTTPS://Etcd.Example:2379/"}} }
	given := etcd()
	got := shared(Zone{Origins: []string{"Svc.Example"}, Hook: Hook{Addr: "127.0.0.1:9000"}, Store: Store{Kind: "etcd", Shared: given}}, "state")
	if got.Prefix != "/rollcall/svc.example" || got.Session != 5*time.Second || got.Name != host || got.Listen != "127.0.0.1:9001" || got.Advertise != "" || got.Cache != filepath.Join("state", "svc.example.copy") {
		t.Errorf("got %+v", got)
	}
	if got.Endpoints[0] != "https://etcd.example:2379" || given.Prefix != "" || given.Endpoints[0] != "HTTPS://Etcd.Example:2379/" {
		t.Errorf("got %+v, of %+v", got, given)
	}
	if got := shared(Zone{Hook: Hook{Addr: "127.0.0.1:0"}, Store: Store{Kind: "etcd", Shared: etcd()}}, ""); got.Listen != "127.0.0.1:0" || got.Cache != cacheOff {
		t.Errorf("got %+v", got)
	}

	peers := []Peer{{"b", "http://127.0.0.2:2380"}, {"a", "http://127.0.0.1:2380"}, {"c", "http://[::1]:2380"}}
	got = shared(Zone{Store: Store{Kind: "cluster", Shared: &SharedStore{Dir: "d", Name: "b", Peers: peers}}}, "state")
	if got.Listen != "127.0.0.2:8054" || got.Cache != filepath.Join("d", "copy.db") {
		t.Errorf("got %+v", got)
	}
}

// TestPeersAreTheNameServers: without ns lines all dnsd of a cluster publish the same
// addresses, in the same order, whatever they bind and however their Corefiles are sorted.
func TestPeersAreTheNameServers(t *testing.T) {
	peers := []Peer{{"b", "http://10.0.0.2:2380"}, {"a", "http://10.0.0.1:2380"}, {"c", "http://10.0.0.1:2381"}}
	want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	for range 3 {
		peers = append(peers[1:], peers[0])
		w, err := Config{Zones: []Zone{{
			Bind:  []string{"127.0.0.1:0"},
			Store: Store{Kind: "cluster", Shared: &SharedStore{Dir: "d", Name: "a", Peers: peers, Insecure: true}},
		}}, Stores: noStores{}}.checked()
		if err != nil {
			t.Fatal(err)
		}
		if got := w.told[0].zones[0].NSAddrs; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// TestSharedStoreMadeInGo: fields that do not belong together are refused.
func TestSharedStoreMadeInGo(t *testing.T) {
	one := []Peer{{"a", "http://127.0.0.1:2380"}}
	url := []string{"https://10.0.0.1:2379"}
	for want, s := range map[string]Store{
		`store: etcd needs Shared, and neither Path nor Ceiling`:                              {Kind: "etcd"},
		`store: cluster needs Shared, and neither Path nor Ceiling`:                           {Kind: "cluster", Ceiling: "c", Shared: &SharedStore{}},
		`store: Shared is for the kinds etcd and cluster, not for bolt`:                       {Kind: "bolt", Path: "p", Shared: &SharedStore{}},
		`store: 0 URLs of etcd; expected 1 to 16`:                                             {Kind: "etcd", Shared: &SharedStore{}},
		`store: URLs of etcd are for store etcd; a cluster has peers`:                         {Kind: "cluster", Shared: &SharedStore{Dir: "d", Peers: one, Endpoints: url}},
		`store: cluster needs a folder for its data`:                                          {Kind: "cluster", Shared: &SharedStore{Peers: one, Name: "a"}},
		`store user: a user needs the file of a password, and a password its user`:            {Kind: "etcd", Shared: &SharedStore{Endpoints: url, User: "u"}},
		`store tls: a certificate needs its key, and a key its certificate`:                   {Kind: "etcd", Shared: &SharedStore{Endpoints: url, TLS: TLS{Cert: "c"}}},
		`store peer: peers are for store cluster; the servers of etcd go after store etcd`:    {Kind: "etcd", Shared: &SharedStore{Endpoints: url, Peers: one}},
		`store name: bad name "-"; expected 1 to 63 letters, digits, dots and hyphens, such `: {Kind: "etcd", Shared: &SharedStore{Endpoints: url, Name: "-"}},
	} {
		if err := (Config{Zones: []Zone{{Store: s}}, Stores: noStores{}}).Check(); err == nil || !strings.HasPrefix(err.Error(), "dnsd: zone svc.: "+want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// TestStoresHaveTheLastWord: what the stores refuse is told in the line of the store.
func TestStoresHaveTheLastWord(t *testing.T) {
	c, err := ParseCorefile("Corefile", []byte("svc {\nttl 5s\nstore etcd https://10.0.0.1:2379\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stores = refusing{}
	if err := c.Check(); err == nil || err.Error() != "Corefile:3: zone svc.: store: no such store here" {
		t.Errorf("got %v", err)
	}
	c.Stores = nil
	if err := c.Check(); err == nil || err.Error() != "Corefile:3: zone svc.: store etcd needs the full dnsd: cd dnsd/cluster && go build ./cmd/dnsd" {
		t.Errorf("got %v", err)
	}
}

type refusing struct{ noStores }

func (refusing) Check(SharedStore) error { return errors.New("no such store here") }
