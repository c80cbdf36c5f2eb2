package hook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func memory(t testing.TB) *registry.Registry {
	t.Helper()
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestListenOffLoopbackAsksForSecurity(t *testing.T) {
	r := memory(t)
	ca := newAuthority(t)
	token := []Token{{Secret: "s", Verbs: []Verb{Read}, Services: []string{"*"}}}
	serverOnly := &TLS{Cert: ca.file("s.pem"), Key: ca.file("s.key")}
	ca.issue(t, "s", "", nil, net.IPv4(127, 0, 0, 1))
	both := &TLS{Cert: serverOnly.Cert, Key: serverOnly.Key, ClientCA: ca.file("ca.pem")}
	for _, c := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"loopback", Config{Addr: "127.0.0.1:0"}, true},
		{"nothing", Config{Addr: "0.0.0.0:0"}, false},
		{"every address", Config{Addr: ":0"}, false},
		{"TLS without client CA", Config{Addr: "0.0.0.0:0", TLS: serverOnly}, false},
		{"token", Config{Addr: "0.0.0.0:0", Tokens: token}, true},
		{"client CA", Config{Addr: "0.0.0.0:0", TLS: both}, true},
		{"insecure", Config{Addr: "0.0.0.0:0", Insecure: true}, true},
	} {
		c.cfg.Registry = r
		s, err := Listen(c.cfg)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "insecure") {
				t.Errorf("%s: no cure in %v", c.name, err)
			}
			continue
		}
		if c.cfg.Addr != "127.0.0.1:0" { // an update must not allow what Listen refuses
			if err := s.Update(Config{Registry: r}); err == nil {
				t.Errorf("%s: updated to be open", c.name)
			}
		}
		if !strings.HasPrefix(s.URL(), "http") || strings.Contains(s.URL(), "0.0.0.0") || strings.Contains(s.URL(), "[::]") {
			t.Errorf("%s: %s", c.name, s.URL())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	r := memory(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want, cfg := range map[string]Config{
		"no registry":               {Addr: "127.0.0.1:0"},
		l.Addr().String():           {Addr: l.Addr().String(), Registry: r},
		"load certificate none.pem": {Addr: "127.0.0.1:0", Registry: r, TLS: &TLS{Cert: "none.pem", Key: "none.key"}},
		"duplicate metrics":         {Addr: "127.0.0.1:0", Registry: r, Collectors: []prometheus.Collector{collectors.NewGoCollector()}},
	} {
		s, err := Listen(cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestEndedServerStaysEnded(t *testing.T) {
	s, err := Listen(Config{Addr: "127.0.0.1:0", Registry: memory(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if s.Run(t.Context()) == nil || s.Update(Config{Registry: memory(t)}) == nil {
		t.Error("it runs again")
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// Requests, a watch and a hold go on while every part of the configuration is replaced,
// idle included.
func TestUpdateWhileRequestsRun(t *testing.T) {
	h := start(t, nil)
	h.put("/v1/services/_echo._tcp/instances/e1", `{"port":1}`)
	watch := h.stream("GET", "/v1/watch?service=_math._tcp", "")
	watch.until(eventSync)
	hold := h.stream("POST", "/v1/services/_held._tcp/instances/h1/hold", `{"port":1}`)
	hold.next()

	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				req, _ := http.NewRequest("PUT", h.URL()+fmt.Sprintf("/v1/services/_load._tcp/instances/c%d", i), strings.NewReader(fmt.Sprintf(`{"port":%d}`, 1+n%60000)))
				resp, err := client.Do(req)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode > 201 {
					t.Errorf("client %d: %s", i, resp.Status)
				}
			}
		})
	}
	for i := range 50 {
		cfg := h.cfg
		cfg.Zone = fmt.Sprintf("z%d.", i)
		cfg.Limits.IdleTimeout = time.Duration(i%3+1) * time.Minute
		cfg.Collectors = []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: fmt.Sprintf("g%d", i)}, func() float64 { return 1 })}
		if err := h.Update(cfg); err != nil {
			t.Fatal(err)
		}
		if a := h.do("GET", "/", ""); !strings.Contains(string(a.body), fmt.Sprintf(`data-zone="z%d."`, i)) {
			t.Fatalf("the page is not of update %d", i)
		}
		if a := h.do("GET", "/metrics", ""); !strings.Contains(string(a.body), fmt.Sprintf("\ng%d 1\n", i)) {
			t.Fatalf("the metrics are not of update %d", i)
		}
	}
	cancel()
	clients.Wait()
	h.put(a1, `{"port":1}`)
	if e := watch.next(); e.name != "put" || e.decode(t).Instance.ID != "a1" {
		t.Errorf("watch: %+v", e)
	}
	h.do("DELETE", "/v1/services/_held._tcp/instances/h1", "")
	if e := hold.next(); !strings.Contains(e.data, `"reason":"gone"`) {
		t.Errorf("hold: %+v", e)
	}
}

func TestBadUpdateChangesNothing(t *testing.T) {
	h := start(t, nil)
	bad := h.cfg
	bad.Zone = "other."
	bad.Tokens = []Token{{Secret: ""}}
	if h.Update(bad) == nil {
		t.Fatal("taken")
	}
	if a := h.do("GET", "/", ""); !strings.Contains(string(a.body), `data-zone="svc."`) {
		t.Error("half of it was taken")
	}
}

func TestFullDiskDoesNotFillTheLog(t *testing.T) {
	var log lines
	h := start(t, func(c *Config, r *registry.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		r.Backend = fullDisk{registry.Memory()}
	})
	for range 3 {
		if a := h.do("PUT", "/v1/services/_math._tcp/instances/a1", `{"port":1}`); a.status != http.StatusInsufficientStorage {
			t.Fatalf("status %d, want 507", a.status)
		}
	}
	if got := log.String(); got != "" {
		t.Errorf("the hook logged what the registry tells once:\n%s", got)
	}
}

type fullDisk struct{ registry.Backend }

func (fullDisk) Commit(*registry.Batch) error { return registry.ErrNoSpace }

func TestIPv4WildcardDoesNotListenOnIPv6(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) { c.Addr, c.Insecure = "0.0.0.0:0", true })
	if a := net.JoinHostPort("::1", strconv.Itoa(int(h.Addr().Port()))); h.Addr().Addr().Is6() {
		t.Errorf("listens on %v, which is %s, too", h.Addr(), a)
	}
}

func TestSlowBodyIsToldSo(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.times.body, c.times.write = 200*time.Millisecond, 200*time.Millisecond
	})
	c, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "PUT /v1/services/_math._tcp/instances/a1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("answer %.60q, %v; want 408", answer, err)
	}
}
