package cluster_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/dnsd/cluster"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/testenv"
	"github.com/rollcall-dns/rollcall/testenv/history"
)

// TestHistoryOfThreeDnsdWithEtcdInside: an environment of package testenv has the real
// store, and nothing that it acknowledges is lost while the writer stops and comes back.
func TestHistoryOfThreeDnsdWithEtcdInside(t *testing.T) {
	t.Parallel() // it waits more than it works
	shared := &dnsd.SharedStore{Dir: t.TempDir()}
	for i, addr := range freeaddr.Take(3) {
		shared.Peers = append(shared.Peers, dnsd.Peer{Name: string(rune('a' + i)), URL: "http://" + addr.String()})
	}
	env := testenv.New(t, testenv.Setup{DNSDs: 3, Stores: cluster.Stores{}, Zone: dnsd.Zone{
		Store:    dnsd.Store{Kind: "cluster", Shared: shared},
		Transfer: dnsd.Transfer{To: []dnsd.Secondary{{Addr: "127.0.0.1/32"}}},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rec, err := history.Start(ctx, history.Config{Hooks: env.HookURLs(), DNS: env.DNSAddrs(), Dial: env.Dial})
	if err != nil {
		t.Fatal(err)
	}
	await := func(at int) {
		t.Helper()
		if err := rec.AwaitWrites(ctx, at, 30); err != nil {
			t.Fatal(err)
		}
	}
	await(-1)
	i := env.Writer()
	env.StopDNSD(i)
	await((i + 1) % 3)
	env.StartDNSD(i)
	await(i)
	sameFields(t, "/v1/cluster", healthyCluster(ctx, t, env.HookURLs()[i]), scriptedCluster(t))
	h, err := rec.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
}

// healthyCluster is what a hook answers to GET /v1/cluster when a server of etcd leads the
// others, and says how large its data are.
func healthyCluster(ctx context.Context, t *testing.T, hook string) (v any) {
	t.Helper()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, hook+"/v1/cluster", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || json.Unmarshal(text, &v) != nil {
			t.Fatalf("%s: %s, %v", text, resp.Status, err)
		}
		if strings.Contains(string(text), `"leader":true`) && strings.Contains(string(text), `"bytes":`) {
			return v
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no server of etcd leads: %s", text)
		}
	}
}

// scriptedCluster is what the script of rollcall cluster takes for the answer of a cluster.
func scriptedCluster(t *testing.T) (v any) {
	t.Helper()
	script := page.Read(t, "cmd/rollcall/internal/verbs/testdata/cluster.txt").Text
	_, text, _ := strings.Cut(script, "\n-- cluster.json --\n")
	text, _, _ = strings.Cut(text, "\n-- ")
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// mayLack are fields that a healthy cluster without certificates does not tell.
var mayLack = map[string]bool{"lag": true, "error": true, "certificate_ends": true}

// sameFields checks that two values of JSON have the same fields with the same types. All
// elements of a list count as one.
func sameFields(t *testing.T, at string, real, scripted any) {
	t.Helper()
	switch want := scripted.(type) {
	case map[string]any:
		got, _ := real.(map[string]any)
		for name, v := range want {
			if r, there := got[name]; there {
				sameFields(t, at+" "+name, r, v)
			} else if !mayLack[name] {
				t.Errorf("%s: dnsd does not tell %s, which the script has", at, name)
			}
		}
		for name := range got {
			if _, there := want[name]; !there {
				t.Errorf("%s: dnsd tells %s, which the script lacks", at, name)
			}
		}
	case []any:
		sameFields(t, at, joined(real), joined(scripted))
	case string:
		if _, ok := real.(string); !ok {
			t.Errorf("%s is %v; the script has a text", at, real)
		}
	case float64:
		if _, ok := real.(float64); !ok {
			t.Errorf("%s is %v; the script has a number", at, real)
		}
	case bool:
		if _, ok := real.(bool); !ok {
			t.Errorf("%s is %v; the script has true or false", at, real)
		}
	}
}

// joined is one object with all fields of a list's.
func joined(list any) any {
	all := map[string]any{}
	objects, _ := list.([]any)
	for _, o := range objects {
		fields, _ := o.(map[string]any)
		for name, v := range fields {
			all[name] = v
		}
	}
	return all
}
