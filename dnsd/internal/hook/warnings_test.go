package hook

import (
	"fmt"
	"log/slog"
	"net"
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
		{0, 1000, true, 750, false}, // the default was not asked for
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

// Tokens without TLS off loopback cause one warning.
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
