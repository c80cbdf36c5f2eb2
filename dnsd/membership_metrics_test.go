package dnsd

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWhatTheStoreWarnsOf: its alarm and its size are in the metrics and in /v1/cluster, and
// so is the end of the certificate that is shown to it, of the file as it is at that moment.
func TestWhatTheStoreWarnsOf(t *testing.T) {
	t.Parallel() // it waits for real time
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	stores := newInMemory()
	z := oneOf("a")
	z.Store.Shared.TLS = TLS{Cert: cert, Key: key}
	s := begin(t, Config{Zones: []Zone{z}, Stores: stores})
	awaitReady(t, s)
	has := func(lines ...string) string {
		text := scrape(t, s.Server)
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line) {
				return fmt.Sprintf("no %q in the metrics", line)
			}
		}
		return ""
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if missing := has(
		`rollcall_cluster_store_alarm{alarm="NOSPACE"} 0`, `rollcall_cluster_store_alarm{alarm="CORRUPT"} 0`,
		fmt.Sprintf("rollcall_cluster_certificate_expiry_timestamp_seconds %v\n", float64(pair.Leaf.NotAfter.Unix())),
	); missing != "" {
		t.Error(missing)
	}

	member := func() map[string]any {
		_, c := request(t, http.MethodGet, s.HookURL()+"/v1/cluster", "")
		return c["members"].([]any)[0].(map[string]any)
	}
	if got, want := member()["certificate_ends"], pair.Leaf.NotAfter.UTC().Format(time.RFC3339); got != want {
		t.Errorf("/v1/cluster: the certificate ends at %v; want %v", got, want)
	}

	stores.SetFull(true)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		_, c := request(t, http.MethodGet, s.HookURL()+"/v1/cluster", "") // it asks the store
		if why := fmt.Sprint(c["etcd"].(map[string]any)["error"]); !strings.Contains(why, "NOSPACE: its quota is used up") {
			return why
		}
		if got, there := c["members"].([]any)[0].(map[string]any)["certificate_ends"]; there {
			return fmt.Sprint("the certificate is gone, and ends at ", got)
		}
		return has(`rollcall_cluster_store_alarm{alarm="NOSPACE"} 1`, `rollcall_cluster_store_alarm{alarm="CORRUPT"} 0`,
			"rollcall_cluster_store_bytes ", "rollcall_cluster_certificate_expiry_timestamp_seconds 0\n")
	})
}

// TestAlarmsHaveACure: each that is known says what to do.
func TestAlarmsHaveACure(t *testing.T) {
	for alarm, words := range map[string][]string{
		"NOSPACE": {"NOSPACE", "docs/cluster.md"}, "CORRUPT": {"CORRUPT", "add it again"},
		"NOSPACE CORRUPT": {"docs/cluster.md", "add it again"}, "NEW": {"NEW"},
	} {
		for _, w := range words {
			if got := alarmed(alarm); !strings.Contains(got, w) {
				t.Errorf("%s: %q does not say %q", alarm, got, w)
			}
		}
	}
}

// TestTheEndOfACertificate is of the first one in a file, whatever else is there.
func TestTheEndOfACertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		ends bool
	}{
		"alone":           {string(text), true},
		"after its key":   {string(secret) + string(text), true},
		"a key alone":     {string(secret), false},
		"nothing":         {"", false},
		"no certificate":  {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", false},
		"half of it":      {string(text[:len(text)/2]), false},
		"words before it": {"subject: x\n" + string(text), true},
	} {
		path := filepath.Join(dir, "c.pem")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := certificateEnd(path)
		if ends := got.After(time.Now()); ends != c.ends || !c.ends && !got.IsZero() {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := certificateEnd(filepath.Join(dir, "none")); !got.IsZero() {
		t.Errorf("of no file: %v", got)
	}
}
