package hook

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestConnectionsFitTheDescriptors(t *testing.T) {
	for _, c := range []struct {
		asked, files int
		known        bool
		taken        int
		warned       bool
	}{
		{0, 1 << 20, true, 16384, false},
		{0, 1000, true, 750, false}, // a default is nobody's wish
		{500, 1000, true, 500, false},
		{20000, 1000, true, 750, true},
		{20000, 0, false, 20000, false},
		{10, 1, true, 1, true},
	} {
		l := Limits{Connections: c.asked}.withDefaults()
		warning := l.fit(c.asked, c.files, c.known)
		if l.Connections != c.taken || (warning != "") != c.warned {
			t.Errorf("%+v: %d, %q", c, l.Connections, warning)
		}
		if warning != "" && !strings.Contains(warning, fmt.Sprint(c.taken)) {
			t.Errorf("%+v: %q does not say what is taken", c, warning)
		}
	}
}

// Tokens in clear are warned of where others can listen, once.
func TestTokensInClearAreWarnedOf(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	files := &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}
	for _, c := range []struct {
		addr string
		tls  *TLS
		want int
	}{{"0.0.0.0:0", nil, 1}, {"0.0.0.0:0", files, 0}, {"127.0.0.1:0", nil, 0}} {
		var log lines
		h := start(t, func(cfg *Config, _ *registry.Config) {
			cfg.Addr, cfg.TLS = c.addr, c.tls
			cfg.Tokens = []Token{{Secret: "s", Verbs: []Verb{Read}, Services: []string{"*"}}}
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		if err := h.Update(h.cfg); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "unencrypted"); n != c.want {
			t.Errorf("%s, TLS %v: warned %d times", c.addr, c.tls != nil, n)
		}
	}
}

// Who speaks HTTP to a hook with TLS gets a problem with the cure, whatever the method.
func TestHTTPToAHookWithTLSIsTold(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}
	})
	for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
		c := dial(t, h)
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n%02000d", method, a1, 0)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		a := answer{resp.StatusCode, resp.Header, body}
		if p := a.problem(t); p.Status != 400 || !strings.Contains(p.Detail, "https://") {
			t.Errorf("%s: %s", method, body)
		}
		c.Close()
	}
	eventually(t, "their places are free", func() bool { open, _, _ := h.listener.pool.counts(); return open == 0 })
}

// Whose connection breaks is probed only if the connection was the host's own.
func TestOnlyTheOwnHostIsProbed(t *testing.T) {
	h := start(t, nil)
	open, secured := h.state.Load(), *h.state.Load()
	secured.secured = true
	for _, c := range []struct {
		st         *state
		peer, host string
		want       bool
	}{
		{open, "127.0.0.1:1", "192.0.2.8", true},
		{&secured, "127.0.0.1:1", "192.0.2.8", false},
		{&secured, "127.0.0.1:1", "127.0.0.1", true},
		{open, "192.0.2.7:1", "192.0.2.8", false},
		{&secured, "192.0.2.7:1", "192.0.2.7", true},
		{&secured, "[::ffff:192.0.2.7]:1", "192.0.2.7", true},
		{&secured, "[2001:db8::7]:1", "2001:db8::7", true},
		{&secured, "[2001:db8::7]:1", "2001:db8::8", false},
		{&secured, "127.0.0.1:1", "localhost", true},
		{&secured, "192.0.2.7:1", "localhost", false},
	} {
		x := &exchange{s: h.Server, st: c.st, peer: peerAddr(&http.Request{RemoteAddr: c.peer})}
		if got := x.speaksFor(t.Context(), c.host); got != c.want {
			t.Errorf("%s for %s, tokens %v: %v", c.peer, c.host, c.st.secured, got)
		}
	}
}

// A hold for another host, with a token that may, breaks: nothing tells whether that
// host's port is open.
func TestHoldIsNoPortScanner(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Secret: "s", Verbs: []Verb{Write}, Services: []string{"*"}, AnyHost: true}}
	})
	l, openPort := serving(t)
	closed, closedPort := serving(t)
	closed.Close()
	for id, port := range map[string]int{"open": openPort, "closed": closedPort} {
		s := h.stream("POST", "/v1/services/_math._tcp/instances/"+id+"/hold", fmt.Sprintf(`{"port":%d,"host":"127.0.0.2"}`, port), "Authorization", "Bearer s")
		s.next()
		s.close()
	}
	_ = l
	eventually(t, "both are lost", func() bool { return strings.Count(h.audit.String(), `what="connection lost"`) == 2 })
	if n := strings.Count(h.audit.String(), "result=kept"); n != 2 {
		t.Errorf("%d of 2 are kept:\n%s", n, h.audit)
	}
}
