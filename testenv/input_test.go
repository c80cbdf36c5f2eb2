package testenv

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

func TestBadInput(t *testing.T) {
	env := New(t, Setup{Nodes: 1})
	for _, packet := range []string{"", "x", strings.Repeat("\xff", 12), strings.Repeat("\xc0\x0c", 300), "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3f"} {
		conn, err := net.Dial("udp", env.DNSAddr())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(packet))
		conn.Close()
	}
	for _, tt := range []struct {
		body, field string
		status      int
	}{
		{`{"port":0}`, "port", 400},
		{`{"port":80,"prot":1}`, "prot", 400},
		{`{"port":80,"ttl":"5s","lease":"6s"}`, "ttl", 400},
		{`{"port":80,"lease":"1s"}`, "lease", 400},
		{`{"port":80,"host":"no host"}`, "host", 400},
		{`{"port":80,"meta":{"k":"` + strings.Repeat("v", 70_000) + `"}}`, "", 413},
		{`not JSON`, "", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			env.HookURL()+"/v1/services/_math._tcp/instances/bad", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		text.ReadFrom(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "application/problem+json" ||
			!strings.Contains(text.String(), tt.field) {
			t.Errorf("%.60s: got %s %s", tt.body, resp.Status, text.String())
		}
	}
	if _, err := dnsd.ParseCorefile("Corefile", []byte("svc {\n  leese 15s\n}\n")); err == nil || !strings.HasPrefix(err.Error(), "Corefile:2: ") {
		t.Errorf("a bad Corefile: %v", err)
	}
	if err := env.DNSD(0).Reload(dnsd.Config{Zones: []dnsd.Zone{{Lease: dnsd.Lease{Default: time.Second}}}}); err == nil {
		t.Error("a bad configuration was taken")
	}
	env.AwaitNodes() // the one node, and nothing else
	if s, err := env.Resolver().Lookup(t.Context(), env.Name()); err != nil || len(s.Endpoints) != 1 {
		t.Errorf("after bad input: %v, %v", s.Endpoints, err)
	}
}
