package integrations

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/testenv"
)

// TestCaddyFollows: requests through Caddy reach all instances, and none fails when one is
// killed.
func TestCaddyFollows(t *testing.T) {
	t.Parallel()
	caddy := peertest.Need(t, "caddy")
	env := testenv.New(t, testenv.Setup{Nodes: -1, Service: "_web._tcp", Zone: dnsd.Zone{TTL: ttl, Apex: dnsd.Apex{NegativeTTL: negative}}})
	servers := map[string]*httptest.Server{}
	add := func(id string) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, id) }))
		t.Cleanup(s.Close)
		servers[id] = s
		env.Put(id, register.Registration{Port: portOf(s.Listener.Addr().String()), Lease: register.Duration(time.Hour)})
	}
	remove := func(id string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, env.HookURL()+"/v1/services/_web._tcp/instances/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("DELETE %s: %v, %v", id, resp, err)
		}
		resp.Body.Close()
	}
	for _, id := range []string{"a", "b", "c"} {
		add(id)
	}

	front, dir := freeaddr.Take(1)[0].String(), t.TempDir()
	text := recipe(t, "caddy.md", "Caddyfile", "127.0.0.1:5300", env.DNSAddr(), "127.0.0.1:8080", front)
	path := write(t, dir, "Caddyfile", "{\n\tadmin off\n}\n"+text)
	if out, err := exec.Command("env", "HOME="+dir, caddy, "validate", "--config", path, "--adapter", "caddyfile").CombinedOutput(); err != nil {
		t.Fatalf("Caddy refuses the document's configuration: %v\n%s", err, out)
	}
	peertest.Start(t, dir, "env", "HOME="+dir, caddy, "run", "--config", path, "--adapter", "caddyfile")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	get := func() (string, error) {
		resp, err := client.Get("http://" + front)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return string(body), err
	}
	// reached are the instances that answer 30 requests, and the last error.
	reached := func() ([]string, error) {
		all := map[string]bool{}
		var last error
		for range 30 {
			id, err := get()
			if err != nil {
				last = err
				continue
			}
			all[id] = true
		}
		return slices.Sorted(maps.Keys(all)), last
	}
	follows := func(what string, within time.Duration, want ...string) {
		t.Helper()
		took := await(t, what, within, func() (bool, any) {
			have, err := reached()
			return err == nil && slices.Equal(have, want), fmt.Sprint(have, err)
		})
		t.Logf("%s: %v", what, took.Round(time.Millisecond))
	}
	const refresh = time.Second // of the page
	follows("Caddy is up", patience, "a", "b", "c")
	if lines := show(t, "caddy.md", "http://127.0.0.1:8080", "http://"+front); len(lines) != 1 || servers[lines[0]] == nil {
		t.Errorf("the page's command shows %q", lines)
	}
	remove("a")
	follows("an instance that left is gone", refresh+slack, "b", "c")
	servers["b"].CloseClientConnections()
	servers["b"].Close()
	for range 20 {
		if id, err := get(); err != nil || id != "c" {
			t.Errorf("with an instance that was killed and is still registered: %q, %v", id, err)
		}
	}
	remove("b")
	add("a")
	add("b")
	follows("all are back", refresh+slack, "a", "b", "c")

	env.StopDNSD(0)
	took := await(t, "Caddy without dnsd", refresh+slack, func() (bool, any) {
		id, err := get()
		return err != nil && strings.HasPrefix(err.Error(), "503 "), fmt.Sprint(id, err)
	})
	t.Logf("without dnsd requests fail after %v", took.Round(time.Millisecond))
	env.StartDNSD(0)
	for id, s := range servers {
		env.Put(id, register.Registration{Port: portOf(s.Listener.Addr().String()), Lease: register.Duration(time.Hour)})
	}
	follows("dnsd is used again after it was away", refresh+slack, "a", "b", "c")
}
