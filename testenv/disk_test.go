package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
)

// An instance that dies or leaves is removed from DNS, although dnsd can store nothing. One that
// changes its registration keeps the former one.
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
	held, renewed := leaseOn(t, hook, "held", false), leaseOn(t, hook, "renewed", true)
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
	keptHeld, keptRenewed := changeInVain(t, held, meta), changeInVain(t, renewed, meta)

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
	keptHeld()
	keptRenewed()
	for _, service := range []string{"_held._tcp.svc", "_renewed._tcp.svc"} {
		if s, err := r.Lookup(t.Context(), service); err != nil || len(s.Endpoints) != 1 {
			t.Errorf("%s: %v, %v", service, s.Endpoints, err)
		}
	}
}

// leaseOn registers an instance with a short lease.
func leaseOn(t *testing.T, hook, service string, noHold bool) *register.Lease {
	t.Helper()
	l, err := register.Keep(t.Context(), register.Config{
		Hooks: []string{hook}, Service: "_" + service + "._tcp", ID: "a1", NoHold: noHold,
		Registration: register.Registration{Host: "127.0.0.1", Port: 1, Lease: register.Duration(3 * time.Second), TTL: register.Duration(time.Second)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// changeInVain begins a change for which dnsd has no room. wait returns when the lease has been
// renewed for longer than it lasts since then, and the change has said why it was given up.
func changeInVain(t *testing.T, l *register.Lease, meta string) (wait func()) {
	t.Helper()
	reg := l.Registration()
	reg.Incarnation, reg.Meta = 0, map[string]string{}
	for i := range 5 {
		reg.Meta[fmt.Sprint("m", i)] = meta
	}
	began := time.Now()
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Update(ctx, reg) }()
	return func() {
		t.Helper()
		defer giveUp()
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			st := l.Status()
			if st.Pending != nil && st.Confirmed.Sub(began) > st.Published.Lease.Std() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the lease ends, although dnsd renews it: %+v", st)
			}
		}
		giveUp()
		if err := <-ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "507") {
			t.Errorf("the change: %v, want 507 and that it was given up", err)
		}
		if n := l.Status().Registrations; n == 0 || l.Registration().Meta["m0"] != "" {
			t.Errorf("%d registrations, the last %+v", n, l.Registration())
		}
	}
}
