package dnsd

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// docs/metrics.md names every metric and every DNS event of a real scrape, and no
// other: the command's own metrics are looked for in its source.
func TestPageNamesEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	s := run(t, Config{Zones: []Zone{oneOf("a")}, Stores: newInMemory()})
	eventually(t, func() string {
		if !s.blocks[0].reg.part.Leads() {
			return "it is not the writer"
		}
		return ""
	})
	query := new(dns.Msg)
	query.SetQuestion("svc.", dns.TypeSOA)
	if _, err := exchange(query, s.DNSAddr().String()); err != nil { // so that an answer is counted
		t.Fatal(err)
	}
	put, err := http.NewRequest(http.MethodPut, s.HookURL()+"/v1/services/_math._tcp/instances/a1", strings.NewReader(`{"port":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(put); err != nil {
		t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	resp, err := http.Get(s.HookURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	there := find(`(?m)^# TYPE (rollcall_\w+) `, text)
	for name := range find(`(?m)^rollcall_dns_events_total\{event="(\w+)"`, text) {
		there[name] = true
	}
	// Shown only while there is such a thing: a suspect, a certificate, what etcd has said.
	there["rollcall_registry_guard_held_instances"] = true
	there["rollcall_hook_certificate_expiry_timestamp_seconds"] = true
	there["rollcall_dns_certificate_expiry_timestamp_seconds"] = true
	there["rollcall_dns_receive_dropped_total"] = true  // on Linux
	there["rollcall_dns_secondary_events_total"] = true // with a secondary
	there["rollcall_registry_store_bytes"] = true       // with a file
	there["rollcall_cluster_certificate_expiry_timestamp_seconds"] = true
	there["rollcall_cluster_store_bytes"] = true
	there["rollcall_cluster_store_quota_bytes"] = true
	sources, err := filepath.Glob("internal/command/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range sources {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name := range find(`"(rollcall_\w+)"`, source) {
			there[name] = true
		}
	}
	named := find("(?m)^\\| `(rollcall_\\w+)` \\|", page)
	_, events, _ := strings.Cut(string(page), "| event | meaning |")
	events, _, _ = strings.Cut(events, "\n\n")
	for name := range find("(?m)^\\| `(\\w+)` \\|", []byte(events)) {
		named[name] = true
	}
	for name := range there {
		if !named[name] {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
	for name := range named {
		if !there[name] {
			t.Errorf("docs/metrics.md names %s, which dnsd does not have", name)
		}
	}
	if len(there) < 50 {
		t.Errorf("only %d names were seen", len(there))
	}
}

// TestTheEndOfTheCertificateOfDNS: it is shown while DNS over TLS is served.
func TestTheEndOfTheCertificateOfDNS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	plain := free(Zone{})
	secure := plain
	secure.DNS.TLS, secure.DNS.TLSPort = TLS{Cert: cert, Key: key}, -1
	s := run(t, Config{Zones: []Zone{plain}})
	for _, c := range []struct {
		zone Zone
		want bool
	}{{plain, false}, {secure, true}, {plain, false}} {
		if err := s.Reload(Config{Zones: []Zone{c.zone}}); err != nil {
			t.Fatal(err)
		}
		text := scrape(t, s)
		if got := strings.Contains(text, "\nrollcall_dns_certificate_expiry_timestamp_seconds{listener=\"tls://"); got != c.want {
			t.Errorf("with TLS %t: it is shown: %t", c.want, got)
		}
	}
}

// find returns the first group of every match.
func find(pattern string, text []byte) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		all[string(m[1])] = true
	}
	return all
}

// exchange is dns.Exchange with time for a busy machine.
func exchange(m *dns.Msg, addr string) (*dns.Msg, error) {
	r, _, err := (&dns.Client{Timeout: 20 * time.Second}).Exchange(m, addr)
	return r, err
}
