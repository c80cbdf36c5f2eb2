package dnsd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// example reads Corefile.example with the variables and files that it names.
func example(t *testing.T) (Corefile, string) {
	t.Helper()
	text, err := os.ReadFile("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ROLLCALL_TOKEN", "secret")
	t.Setenv("XFR_KEY", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
	t.Setenv("DNS_COOKIE_SECRET", "000102030405060708090a0b0c0d0e0f")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.token"), []byte("other-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	selfSigned(t, filepath.Join(dir, "dns.pem"), filepath.Join(dir, "dns.key"))
	c, err := ParseCorefile(filepath.Join(dir, "Corefile"), text)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return c, string(text)
}

// defaults are the default values that the rooms use, by directive, as a Corefile writes
// them.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	w, err := Config{}.checked()
	if err != nil {
		t.Fatal(err)
	}
	z, told := w.Zones[0], w.told[0]
	reg, err := registry.Check(told.registry)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hook.Check(told.hook)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := nameserver.Check(z.DNS.forServer())
	if err != nil {
		t.Fatal(err)
	}
	shared, err := Config{StateDir: "/var/lib/dnsd", Stores: noStores{}, Zones: []Zone{{Store: Store{Kind: "etcd", Shared: &SharedStore{Endpoints: []string{"https://10.0.0.1:2379"}, Name: "a"}}}}}.checked()
	if err != nil {
		t.Fatal(err)
	}
	store := shared.Zones[0].Store.Shared
	host, port, _ := strings.Cut(z.Bind[0], ":")
	return map[string]string{
		"zone": strings.TrimSuffix(z.Origins[0], ".") + ":" + port,
		"bind": host, "hook": z.Hook.Addr, "store": z.Store.Kind,
		"store prefix": store.Prefix, "store session": short(store.Session), "store listen": store.Listen,
		"hook rate": fmt.Sprint(h.Limits.Rate), "hook connections": fmt.Sprint(h.Limits.Connections), "hook per-address": fmt.Sprint(h.Limits.PerAddr),
		"hook idle": short(h.Limits.IdleTimeout), "hook holds": fmt.Sprint(h.Limits.Holds), "hook watches": fmt.Sprint(h.Limits.Watches),
		"ttl": short(reg.TTL), "negative": short(reg.TTL), "lease": short(reg.Lease.Default), "lease min": short(reg.Lease.Min), "lease max": short(reg.Lease.Max),
		"guard": fmt.Sprintf("%d%%", reg.Guard.Percent), "guard leases": fmt.Sprint(reg.Guard.Leases), "guard max": short(reg.Guard.Max), "guard probe": map[bool]string{false: "on", true: "off"}[reg.Guard.NoProbe],
		"limits instances": fmt.Sprint(reg.Limits.Instances), "limits per-service": fmt.Sprint(reg.Limits.PerService),
		"history": fmt.Sprint(reg.History.Changes, " ", short(reg.History.Age)),
		"udpsize": fmt.Sprint(dns.MaxUDP), "ratelimit": fmt.Sprint(dns.RateLimit.PerSecond),
		"tcp connections": fmt.Sprint(dns.TCP.Conns), "tcp per-address": fmt.Sprint(dns.TCP.ConnsPerAddr), "tcp idle": short(dns.TCP.Idle),
		"push sessions": fmt.Sprint(dns.Push.Sessions), "push per-address": fmt.Sprint(dns.Push.PerAddress),
		"log": "info", "lameduck": short(w.LameDuck),
	}
}

// short is a duration as people write it: 15s, 24h.
func short(d fmt.Stringer) string {
	return regexp.MustCompile(`([a-z])0[ms]`).ReplaceAllString(regexp.MustCompile(`([a-z])0[ms]`).ReplaceAllString(d.String(), "$1"), "$1")
}

// TestCorefileExampleShowsTheDefaults: it has each directive, with its default value if
// it has one.
func TestCorefileExampleShowsTheDefaults(t *testing.T) {
	_, text := example(t)
	shown := map[string][]string{} // by path: the words after it
	outer := ""
	for l := range strings.Lines(text) {
		indent := len(l) - len(strings.TrimLeft(l, " "))
		l, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "# "), " # ") // a line that is a comment is an example
		f := strings.Fields(strings.TrimRight(l, " {"))
		if len(f) == 0 || f[0] == "}" {
			continue
		}
		path := f[0]
		switch {
		case strings.HasSuffix(path, ":5300"):
			path, f = "zone", append([]string{"zone"}, f...)
		case indent == 4:
			outer = f[0]
		case indent == 8:
			path = outer + " " + f[0]
		}
		if _, twice := shown[path]; !twice {
			shown[path] = f[1:]
		}
	}
	for _, path := range words() {
		if shown[path] == nil {
			t.Errorf("Corefile.example lacks %q", path)
		}
	}
	for path, want := range defaults(t) {
		if got := strings.Join(shown[path], " "); got != want {
			t.Errorf("Corefile.example says %s %s, the default is %s", path, got, want)
		}
	}
}

// TestCorefileExampleIsRead: its tokens have all that a token may have.
func TestCorefileExampleIsRead(t *testing.T) {
	c, _ := example(t)
	tokens := c.Zones[0].Hook.Tokens
	if len(tokens) != 2 || tokens[1].Secret != "other-secret" || tokens[1].Name != "deploy" || !tokens[1].AnyHost {
		t.Errorf("tokens: got %+v", tokens)
	}
	if c.Log.Level != "info" || c.Zones[0].Bind[0] != "127.0.0.1:5300" {
		t.Errorf("got %+v", c)
	}
}

// TestCorefileExampleShowsSharedStores: the two that are comments there are good when the
// files are there.
func TestCorefileExampleShowsSharedStores(t *testing.T) {
	_, text := example(t)
	dir := t.TempDir()
	selfSigned(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	selfSigned(t, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err := os.WriteFile(filepath.Join(dir, "etcd.password"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(text, "    # store etcd ")
	shown, _, ended := strings.Cut(shown, "\n\n")
	if !found || !ended {
		t.Fatal("Corefile.example has no store etcd, or no empty line after store cluster")
	}
	shown = regexp.MustCompile("(?m)^ *# ").ReplaceAllString("# store etcd "+shown, "")
	etcd, cluster, _ := strings.Cut(shown, "store cluster ")
	for kind, block := range map[string]string{"etcd": etcd, "cluster": "store cluster " + cluster} {
		c, err := ParseCorefile(filepath.Join(dir, "Corefile"), []byte("svc {\n"+block+"\n}\n"))
		if err != nil {
			t.Errorf("%s\n%v", block, err)
			continue
		}
		c.Stores = noStores{}
		w, err := c.checked()
		if err != nil {
			t.Errorf("%s\n%v", block, err)
			continue
		}
		s := w.Zones[0].Store
		if s.Kind != kind || s.Shared.Name != "a" || s.Shared.Prefix != "/rollcall/svc" || s.Shared.TLS.Cert != filepath.Join(dir, "cert.pem") || s.Shared.CA != filepath.Join(dir, "ca.pem") {
			t.Errorf("got %s %+v", s.Kind, s.Shared)
		}
		if kind == "etcd" && (s.Shared.User != "rollcall" || !s.Shared.Insecure || s.Shared.Cache != filepath.Join(dir, "svc.copy")) {
			t.Errorf("got %+v", s.Shared)
		}
		if kind == "cluster" && (len(s.Shared.Peers) != 3 || s.Shared.Listen != "10.0.0.1:8054" || s.Shared.Cache != filepath.Join(dir, "data/svc/copy.db")) {
			t.Errorf("got %+v", s.Shared)
		}
	}
}

// A row of the directive table in docs/corefile.md.
type row struct{ syntax, def, bounds string }

func documented(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("../docs/corefile.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	cells := regexp.MustCompile("(?m)^\\| `([a-z -]+)` \\| `(.*?)` \\| (.*?) ?\\| ?(.*?) ?\\|$")
	for _, m := range cells.FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = row{strings.ReplaceAll(m[2], `\|`, "|"), m[3], m[4]}
	}
	return rows
}

// TestTheDocumentHasTheDirectives: the table in docs/corefile.md has those of the code,
// with their defaults.
func TestTheDocumentHasTheDirectives(t *testing.T) {
	rows := documented(t)
	for _, path := range words() {
		if _, ok := rows[path]; !ok {
			t.Errorf("docs/corefile.md has no row for %q", path)
		}
	}
	for path := range rows {
		if !slices.Contains(words(), path) {
			t.Errorf("docs/corefile.md has a row for %q, which is no directive", path)
		}
	}
	all := defaults(t)
	delete(all, "zone")
	all["tls"] = fmt.Sprint(defaultTLSPort)
	for path, want := range all {
		if !strings.Contains(rows[path].def, "`"+want+"`") {
			t.Errorf("docs/corefile.md says of %q that the default is %s; it is %s", path, rows[path].def, want)
		}
	}
}

// TestTheDocumentHasTheBounds: the numbers in the table are the least and the most that
// -validate takes.
func TestTheDocumentHasTheBounds(t *testing.T) {
	bounds := regexp.MustCompile(`^(\d+)%? (?:\(off\) )?to (\d+)`)
	tested := 0
	for path, r := range documented(t) {
		m := bounds.FindStringSubmatch(r.bounds)
		syntax := regexp.MustCompile(` ?\[[^]]*]|\|off`).ReplaceAllString(r.syntax, "")
		if m == nil || !strings.Contains(syntax, " N") {
			continue
		}
		tested++
		low, _ := strconv.Atoi(m[1])
		high, _ := strconv.Atoi(m[2])
		for n, good := range map[int]bool{low: true, high: true, low - 1: false, high + 1: false} {
			body := strings.Replace(syntax, " N", fmt.Sprint(" ", n), 1)
			if outer, _, inside := strings.Cut(path, " "); inside {
				body = outer + " {\n" + body + "\n}"
			}
			if err := refusal(t, nil, "Corefile", "svc {\n"+body+"\n}\n"); (err == nil) != good {
				t.Errorf("docs/corefile.md says %s of %q, and %d gives %v", r.bounds, path, n, err)
			}
		}
	}
	if tested < 12 {
		t.Errorf("only %d rows have bounds", tested)
	}
}
