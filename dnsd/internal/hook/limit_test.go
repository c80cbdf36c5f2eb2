package hook

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestLimiterCountsEachCallerApart(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimiter()
	l.set(10, 2, now)
	a := caller{addr: netip.MustParseAddr("192.0.2.1")}
	b := caller{token: 1, addr: a.addr}
	for _, c := range []caller{a, b} {
		for range 2 {
			if _, ok := l.take(c, now); !ok {
				t.Fatalf("%v: refused within its burst", c)
			}
		}
		if wait, ok := l.take(c, now); ok || wait != 100*time.Millisecond {
			t.Errorf("%v: %v %v beyond the burst", c, wait, ok)
		}
	}
	now = now.Add(100 * time.Millisecond)
	if _, ok := l.take(a, now); !ok {
		t.Error("refused after the wait that was asked for")
	}
	l.set(1000, 2, now)
	if _, ok := l.take(a, now.Add(time.Millisecond)); !ok {
		t.Error("a new rate has no effect on a caller in the table")
	}
}

func TestLimiterTableIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimiter()
	l.set(1, 1, now)
	busy := caller{addr: netip.MustParseAddr("192.0.2.1")}
	l.take(busy, now)
	for i := range 3 * maxCallers {
		l.take(caller{token: i + 1}, now)
		if _, ok := l.take(busy, now); ok {
			t.Fatalf("after %d others the busy one is forgotten", i)
		}
	}
	if len(l.table) > maxCallers || l.order.Len() != len(l.table) {
		t.Errorf("%d callers, %d in order", len(l.table), l.order.Len())
	}
}

func TestTooManyRequestsAreToldWhenToComeBack(t *testing.T) {
	fake(t, func(c *Config, _ *registry.Config) { c.Limits.Rate = 1 }, func(t *testing.T, h *hook) {
		for range 2 {
			if a := h.do("GET", "/v1/services", ""); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		a := h.do("PUT", a1, `{"port":1}`)
		if p := a.problem(t); p.Status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "1" {
			t.Errorf("%d, Retry-After %s", a.status, a.header.Get("Retry-After"))
		}
		if a := h.do("GET", "/healthz", ""); a.status != 200 {
			t.Errorf("the probe is refused: %d", a.status)
		}
		if strings.Contains(h.audit.String(), "status=429") {
			t.Error("a flood fills the audit log")
		}
		h.cfg.Limits.Rate = noRate
		if err := h.Update(h.cfg); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Microsecond) // for the new rate to give a token
		if a := h.do("PUT", a1, `{"port":1}`); a.status != 201 {
			t.Errorf("after the update: %d", a.status)
		}
	})
}

func dial(t *testing.T, h *hook) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConnectionsBeyondTheLimitAreTurnedAway(t *testing.T) {
	for name, limits := range map[string]Limits{"all": {Connections: 2}, "one address": {PerAddr: 2}} {
		t.Run(name, func(t *testing.T) {
			h := start(t, func(c *Config, _ *registry.Config) {
				c.Limits.Connections, c.Limits.PerAddr = limits.Connections, limits.PerAddr
			})
			first, second := dial(t, h), dial(t, h)
			for _, c := range []net.Conn{first, second} { // in use, so that they are not closed for the next
				fmt.Fprintf(c, "GET /v1/watch HTTP/1.1\r\nHost: %s\r\n\r\n", h.Addr())
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(dial(t, h)), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "too many connections") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			first.Close()
			eventually(t, "the place is free", func() bool {
				c := dial(t, h)
				defer c.Close()
				fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", h.Addr())
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				return err == nil && resp.StatusCode == 200
			})
		})
	}
}

func TestSlowHeadersAndBodiesAreCutOff(t *testing.T) {
	slow := func(c *Config, _ *registry.Config) { // times.write is longer, for the answers
		c.times.header, c.times.body = 5*time.Second, 5*time.Second
	}
	fake(t, slow, func(t *testing.T, h *hook) {
		begin := func(format string, args ...any) net.Conn {
			c, err := h.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			fmt.Fprintf(c, format, args...)
			return c
		}
		began := time.Now()
		if b, err := io.ReadAll(begin("PUT %s HTTP/1.1\r\nHost:", a1)); err != nil || time.Since(began) != h.times.header {
			t.Errorf("slow header: %q, %v after %v", b, err, time.Since(began))
		}
		began = time.Now()
		body := bufio.NewReader(begin("PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n{", a1, h.Addr()))
		resp, err := http.ReadResponse(body, nil)
		if err != nil || resp.StatusCode != http.StatusRequestTimeout || time.Since(began) != h.times.body {
			t.Fatalf("slow body: %v, %v after %v", resp, err, time.Since(began))
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
		if _, err := body.ReadByte(); err != io.EOF {
			t.Errorf("the connection stays: %v", err)
		}
		// A body that the operation does not read must not keep the connection either.
		began = time.Now()
		idle := begin("GET /healthz HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n{", h.Addr())
		if b, err := io.ReadAll(idle); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200") || time.Since(began) > 2*h.times.body {
			t.Errorf("%q, %v after %v", b, err, time.Since(began))
		}
		if _, ok := h.registry.Instance(keyA1); ok {
			t.Error("half a body registered")
		}
	})
}

func TestLargeHeadersAreRefused(t *testing.T) {
	h := start(t, nil)
	c := dial(t, h)
	fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\nX-Large: %s\r\n\r\n", h.Addr(), strings.Repeat("x", maxHeader+5<<10))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v %v", resp, err)
	}
}
