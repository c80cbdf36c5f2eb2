package hook

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// encrypted starts a hook with TLS, and returns a function that makes clients with a
// connection of their own.
func encrypted(t *testing.T, change func(*Config)) (*hook, func(http2 bool) *http.Client) {
	t.Helper()
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}
		change(c)
	})
	return h, func(http2 bool) *http.Client {
		c := ca.client(t, "")
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		return c
	}
}

// Over TLS, with HTTP/1.1 and HTTP/2, a caller with a token keeps its place.
func TestStrangersLeaveRoomOverTLS(t *testing.T) {
	h, client := encrypted(t, func(c *Config) {
		c.Limits.Connections = 12
		c.Tokens = []Token{{Secret: "s", Verbs: []Verb{Write}, Services: []string{"*"}}}
	})
	put := needing{method: "PUT", path: a1, body: `{"port":1}`}
	kept := map[bool]*http.Client{false: client(false), true: client(true)}
	for _, c := range kept {
		if got := h.status(t, c, put, "s"); got/100 != 2 {
			t.Fatalf("before: %d", got)
		}
	}
	for i := range 40 {
		stranger := client(i%2 == 0)
		if got := h.status(t, stranger, needing{method: "GET", path: "/healthz"}, ""); got != 200 {
			t.Fatalf("stranger %d: %d", i, got)
		}
		for http2, c := range kept {
			if got := h.status(t, c, put, "s"); got != 200 {
				t.Fatalf("after %d strangers, HTTP/2 %v: %d", i, http2, got)
			}
		}
	}
	if open, _, evicted := h.listener.pool.counts(); open > 12 || evicted < 20 {
		t.Errorf("%v are open, %v were evicted", open, evicted)
	}
}

// A stream of HTTP/2 whose client does not read is cut like a connection, and the other
// streams of its connection go on.
func TestStreamThatNobodyReadsIsCut(t *testing.T) {
	h, client := encrypted(t, func(c *Config) { c.times.write = 100 * time.Millisecond })
	h.fill(6000) // twice as much as fits into the client's window
	c := client(true)
	resp, err := c.Do(h.request("GET", "/v1/services/_math._tcp", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto)
	}
	eventually(t, "its memory is free again", func() bool { return h.lists.inUse() == 0 })
	h.client = c
	if a := h.do("GET", "/healthz", ""); a.status != 200 || !strings.Contains(string(a.body), "alive") {
		t.Errorf("another stream: %d %s", a.status, a.body)
	}
}
