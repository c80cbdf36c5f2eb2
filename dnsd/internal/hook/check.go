package hook

import (
	"cmp"
	"net"
	"net/netip"

	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
	"github.com/rollcall-dns/rollcall/register"
)

const (
	// mostConns is more than a process may open files: a larger number is a typing
	// error.
	mostConns = 1_000_000
	// mostRate is more than the hook answers in a second: a larger number is a typing
	// error.
	mostRate = 10_000_000
)

// Check returns c with the default in each field that is zero and its certificates
// read, or a *setting.Error with what Listen would refuse. It opens no socket.
func Check(c Config) (Config, error) {
	c.Addr = cmp.Or(c.Addr, register.DefaultHook)
	c.Limits = c.Limits.withDefaults()
	for _, n := range []struct {
		field       string
		value, most int
	}{
		{"Rate", c.Limits.Rate, mostRate},
		{"Connections", c.Limits.Connections, mostConns},
		{"PerAddr", c.Limits.PerAddr, mostConns},
		{"Holds", c.Limits.Holds, mostConns}, // after Connections, its default
		{"Watches", c.Limits.Watches, mostConns},
	} {
		if n.value < 1 || n.value > n.most {
			return c, setting.Errorf("Limits."+n.field, "%d; expected 1 to %d", n.value, n.most)
		}
	}
	if c.Limits.IdleTimeout < 0 {
		return c, setting.Errorf("Limits.IdleTimeout", "%v is negative", c.Limits.IdleTimeout)
	}
	if _, err := newGrants(c.Tokens); err != nil {
		return c, err
	}
	d, err := c.TLS.load()
	if err != nil {
		return c, err
	}
	if c.TLS != nil {
		c.TLS = &TLS{Cert: c.TLS.Cert, Key: c.TLS.Key, ClientCA: c.TLS.ClientCA, read: d}
	}
	if !c.secured() && !c.Insecure && !onLoopback(c.Addr) {
		return c, setting.Errorf("Addr", "%s is not a loopback address, so anyone could register; in a Corefile, give the hook a token, a client CA or the directive insecure", c.Addr)
	}
	return c, nil
}

// secured says whether a client needs a token or a certificate.
func (c *Config) secured() bool {
	return len(c.Tokens) > 0 || c.TLS != nil && c.TLS.ClientCA != ""
}

// onLoopback says whether only this host reaches addr.
func onLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Tests: auth_test.go, server_test.go.
