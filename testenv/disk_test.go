package testenv

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
)

// An instance that dies or leaves is removed from DNS, although dnsd can store nothing.
func TestDnsdsDiskIsFull(t *testing.T) {
	if err := noMoreDisk(""); err != nil {
		t.Skip(err)
	}
	p := peertest.StartSelf(t, "dnsd", storeVar+"="+filepath.Join(t.TempDir(), "svc.db"), fullVar+"=1")
	hook, err := p.Line()
	if err != nil {
		t.Fatal(err)
	}
	server, err := p.Line()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	do := func(method, path, body string) (status int, text string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, hook+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	for _, id := range []string{"silent", "leaves", "stays"} {
		lease := "1h"
		if id == "silent" {
			lease = "3s"
		}
		if status, text := do("PUT", "/v1/services/_math._tcp/instances/"+id, `{"port":1,"ttl":"1s","lease":"`+lease+`"}`); status != http.StatusCreated {
			t.Fatalf("%s: %d %s", id, status, text)
		}
	}
	meta := strings.Repeat("v", 250)
	fill := func(i int) int {
		status, _ := do("PUT", fmt.Sprintf("/v1/services/_fill._tcp/instances/f%d", i), fmt.Sprintf(`{"port":1,"lease":"1h","meta":{"a":%q,"b":%q,"c":%q}}`, meta, meta, meta))
		return status
	}
	i := 0
	for fill(i) == http.StatusCreated {
		i++
	}
	// A commit that finds room in between, a removal say, means that it works again.
	for deadline := time.Now().Add(patience); ; {
		full := fill(i)
		ready, text := do("GET", "/readyz", "")
		if full == http.StatusInsufficientStorage && ready == http.StatusServiceUnavailable && strings.Contains(text, "store") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a registration that finds no room: %d; then /readyz says %d %s", full, ready, text)
		}
	}
	do("DELETE", "/v1/services/_math._tcp/instances/leaves", "")

	r := &resolver.Resolver{Servers: []string{server}}
	for deadline := time.Now().Add(patience); ; {
		s, err := r.Lookup(t.Context(), "_math._tcp.svc")
		if err == nil && len(s.Endpoints) == 1 && s.Endpoints[0].Target == "stays.math.tcp.svc." {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with a full disk DNS has %v (%v), want the one that stays", s.Endpoints, err)
		}
		r.Refresh("_math._tcp.svc")
		time.Sleep(100 * time.Millisecond)
	}
}
