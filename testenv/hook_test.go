package testenv

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// The rows of docs/promises.md that are about the hook alone.

// serveHook runs a dnsd with this hook until the test ends.
func serveHook(t *testing.T, h dnsd.Hook) (*dnsd.Server, dnsd.Config) {
	t.Helper()
	h.Addr = "127.0.0.1:0"
	cfg := dnsd.Config{Zones: []dnsd.Zone{{Origins: []string{"svc."}, Bind: []string{"127.0.0.1:0"}, Hook: h}}}
	s, err := dnsd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return s, cfg
}

// sendRaw opens a connection to the hook and sends text.
func sendRaw(t *testing.T, url, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// putInstance registers an instance and returns the status.
func putInstance(t *testing.T, c *http.Client, url, id, token, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/v1/services/_math._tcp/instances/"+id, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Errorf("PUT %s: %v", id, err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func newClient(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestStrangersCrowdTheHook(t *testing.T) {
	s, _ := serveHook(t, dnsd.Hook{Limits: dnsd.HookLimits{Connections: 40}, Tokens: []dnsd.Token{{Secret: "s3cret"}}})
	url, kept := s.HookURL(), newClient(t)
	if got := putInstance(t, kept, url, "a1", "s3cret", `{"port":1}`); got != http.StatusCreated {
		t.Fatalf("before: %d", got)
	}
	for i := range 300 {
		c := sendRaw(t, url, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		// Each is answered and stays open; at the limit an older one is closed for it.
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("stranger %d: %v", i, err)
		}
		if i%20 > 0 {
			continue
		}
		if got := putInstance(t, kept, url, "a1", "s3cret", `{"port":1}`); got != http.StatusOK {
			t.Errorf("after %d strangers, over the old connection: %d", i, got)
		}
		if got := putInstance(t, newClient(t), url, "a2", "s3cret", `{"port":1}`); got/100 != 2 {
			t.Errorf("after %d strangers, over a new connection: %d", i, got)
		}
	}
}

func TestReadersOfTheHookDoNotRead(t *testing.T) {
	s, _ := serveHook(t, dnsd.Hook{Limits: dnsd.HookLimits{Rate: 1_000_000}})
	url, c := s.HookURL(), newClient(t)
	body := `{"port":1,"meta":{"m":"` + strings.Repeat("x", 250) + `"}}`
	for i := range 500 {
		if got := putInstance(t, c, url, fmt.Sprintf("i%d", i), "", body); got != http.StatusCreated {
			t.Fatal(got)
		}
	}
	for range 40 {
		sendRaw(t, url, "GET /v1/watch?service=_math._tcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
		sendRaw(t, url, "GET /v1/services HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	if got := putInstance(t, c, url, "late", "", body); got != http.StatusCreated {
		t.Errorf("a registration beside them: %d", got)
	}
	resp, err := c.Get(url + "/v1/services/_math._tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if all, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || strings.Count(string(all), `"id":`) != 501 {
		t.Errorf("a list beside them: %d, %d octets, %v", resp.StatusCode, len(all), err)
	}
}

func TestAReloadTakesRightsAway(t *testing.T) {
	s, cfg := serveHook(t, dnsd.Hook{})
	url, c := s.HookURL(), newClient(t)
	if got := putInstance(t, c, url, "a1", "", `{"port":1}`); got != http.StatusCreated {
		t.Fatal(got)
	}
	h := &cfg.Zones[0].Hook
	h.TLS.Cert, h.TLS.Key = certificate(t, "localhost")
	h.ClientCA = h.TLS.Cert
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	// Over the old connection: nothing encrypted, no certificate.
	if got := putInstance(t, c, url, "a2", "", `{"port":1}`); got != http.StatusMisdirectedRequest {
		t.Errorf("after the reload: %d", got)
	}
}

// certificate writes one that signs itself, and its key.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	c, _ := peertest.Certificate(t, name)
	der := c.Certificate[0]
	pkcs8, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
