package dnsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Defaults that more than one room needs to agree on.
const (
	DefaultOrigin = "svc."
	DefaultDNS    = "127.0.0.1:5300"
	DefaultHook   = "127.0.0.1:8053"
	DefaultTTL    = 5 * time.Second
	DefaultLease  = 15 * time.Second
	minLease      = 3 * time.Second
	maxLease      = 24 * time.Hour
)

// zoneError says which zone of a Config is wrong.
type zoneError struct {
	index int
	name  string
	err   error // begins with the directive's name, if it is of one
}

// Error implements error.
func (e *zoneError) Error() string { return "dnsd: zone " + e.name + ": " + e.err.Error() }

// Unwrap implements the chain of errors.Is.
func (e *zoneError) Unwrap() error { return e.err }

// withDefaults returns a copy with every default filled in and every name in its
// canonical form, or an error that names what is wrong.
func (c Config) withDefaults() (Config, error) {
	zones := c.Zones
	if len(zones) == 0 {
		zones = []Zone{{}}
	}
	c.Zones = make([]Zone, len(zones))
	hooks := map[string]string{} // address -> origin
	names := map[string]bool{}
	stores := map[string]string{} // path -> origin
	for i, z := range zones {
		z, err := z.withDefaults()
		if err != nil {
			return c, &zoneError{i, strings.Join(z.Origins, " "), err}
		}
		for _, o := range z.Origins {
			if names[o] {
				return c, &zoneError{i, o, errors.New("given twice")}
			}
			names[o] = true
		}
		if other, taken := hooks[z.Hook.Addr]; taken && !portIsZero(z.Hook.Addr) {
			return c, &zoneError{i, z.Origins[0], fmt.Errorf("hook: %s is that of zone %s already; give each block its own, or put both zones into one block", z.Hook.Addr, other)}
		}
		hooks[z.Hook.Addr] = z.Origins[0]
		if z.Store.Kind == "bolt" {
			if other, taken := stores[z.Store.Path]; taken {
				return c, &zoneError{i, z.Origins[0], fmt.Errorf("store: %s is that of zone %s already; give each block its own file", z.Store.Path, other)}
			}
			stores[z.Store.Path] = z.Origins[0]
		}
		switch {
		case z.Store.Ceiling != "":
		case z.Store.Kind == "bolt":
			z.Store.Ceiling = z.Store.Path + ".ceiling"
		case c.StateDir != "":
			z.Store.Ceiling = filepath.Join(c.StateDir, fileName(z.Origins[0])+".ceiling")
		}
		c.Zones[i] = z
	}
	return c, c.check()
}

// fileName is an origin as a part of a path.
func fileName(origin string) string {
	return strings.NewReplacer("/", "_", `\`, "_").Replace(strings.TrimSuffix(origin, "."))
}

func (z Zone) withDefaults() (Zone, error) {
	if err := z.fillOrigins(); err != nil {
		return z, err
	}
	if len(z.Bind) == 0 {
		z.Bind = []string{DefaultDNS}
	}
	bind := make([]string, len(z.Bind))
	for i, a := range z.Bind {
		if err := checkAddr(a); err != nil {
			return z, fmt.Errorf("bind: %w", err)
		}
		bind[i] = canonicalAddr(a)
		if slices.Contains(bind[:i], bind[i]) && !portIsZero(a) {
			host, _, _ := net.SplitHostPort(bind[i])
			return z, fmt.Errorf("bind: %s stands twice", host)
		}
	}
	z.Bind = bind
	for _, fill := range []func() error{z.Hook.fill, z.Store.fill, z.fillLeases, z.TLS.fill} {
		if err := fill(); err != nil {
			return z, err
		}
	}
	z.Guard.Percent = orDefault(z.Guard.Percent, 30)
	if z.Guard.Percent < 1 || z.Guard.Percent > 100 {
		return z, fmt.Errorf("guard: %d%%; expected 1%% to 100%%", z.Guard.Percent)
	}
	for _, t := range z.Transfer {
		named := func(k TSIG) bool { return dns.CanonicalName(k.Name) == dns.CanonicalName(t.Key) }
		if t.Key != "" && !slices.ContainsFunc(z.TSIG, named) {
			return z, fmt.Errorf("transfer: to %s: no tsig key is named %s", t.To, t.Key)
		}
	}
	return z, nil
}

func (z *Zone) fillOrigins() error {
	if len(z.Origins) == 0 {
		z.Origins = []string{DefaultOrigin}
	}
	origins := make([]string, len(z.Origins))
	for i, o := range z.Origins {
		origins[i] = dns.CanonicalName(o)
		if _, ok := dns.IsDomainName(origins[i]); !ok || origins[i] == "." {
			return fmt.Errorf("origin %q is not a zone name; expected one such as svc.example", o)
		}
	}
	z.Origins = origins
	return nil
}

func (h *Hook) fill() error {
	h.Addr = orDefault(h.Addr, DefaultHook)
	if err := checkAddr(h.Addr); err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	h.Addr = canonicalAddr(h.Addr)
	if err := checkPair(h.Cert, h.Key); err != nil {
		return fmt.Errorf("hook: tls: %w", err)
	}
	if h.ClientCA != "" && h.Cert == "" {
		return errors.New("hook: tls: a client CA needs a server certificate and key as well")
	}
	if !h.Insecure && len(h.Tokens) == 0 && h.ClientCA == "" && !onLoopback(h.Addr) {
		return fmt.Errorf("hook: %s is off loopback, where everybody could register; give it a token or a client CA, or say insecure", h.Addr)
	}
	for _, t := range h.Tokens {
		if t.Secret == "" {
			return errors.New("hook: token: empty secret; is the environment variable set?")
		}
	}
	return nil
}

func (s *Store) fill() error {
	s.Kind = orDefault(s.Kind, "memory")
	switch {
	case s.Kind != "memory" && s.Kind != "bolt":
		return fmt.Errorf("store: unknown kind %q; expected memory or bolt", s.Kind)
	case s.Kind == "bolt" && s.Path == "":
		return errors.New("store: bolt needs the path of its file")
	}
	return nil
}

func (z *Zone) fillLeases() error {
	z.MinLease = orDefault(z.MinLease, minLease)
	z.MaxLease = orDefault(z.MaxLease, maxLease)
	z.Lease = orDefault(z.Lease, min(max(DefaultLease, z.MinLease), z.MaxLease))
	z.TTL = orDefault(z.TTL, min(DefaultTTL, (z.Lease/2).Truncate(time.Second)))
	z.NegativeTTL = orDefault(z.NegativeTTL, z.TTL)
	switch {
	case z.MinLease < 2*time.Second:
		return fmt.Errorf("lease: min %v; expected at least 2s, since a TTL is whole seconds and at most half of a lease", z.MinLease)
	case z.MinLease > z.MaxLease:
		return fmt.Errorf("lease: min %v is above max %v", z.MinLease, z.MaxLease)
	case z.Lease < z.MinLease || z.Lease > z.MaxLease:
		return fmt.Errorf("lease: %v is not within min %v and max %v", z.Lease, z.MinLease, z.MaxLease)
	case z.TTL < time.Second || z.TTL%time.Second != 0:
		return fmt.Errorf("ttl: %v; expected whole seconds, at least 1s", z.TTL)
	case z.TTL > z.Lease/2:
		return fmt.Errorf("ttl: %v is more than half of the lease %v; clients would keep dead instances for longer than the lease", z.TTL, z.Lease)
	case z.NegativeTTL > z.TTL:
		return fmt.Errorf("negative: %v is more than the ttl %v, which bounds it (RFC 2308 section 5)", z.NegativeTTL, z.TTL)
	case z.NegativeTTL < time.Second || z.NegativeTTL%time.Second != 0:
		return fmt.Errorf("negative: %v; expected whole seconds, at least 1s", z.NegativeTTL)
	}
	return nil
}

func (t *TLS) fill() error {
	t.Port = orDefault(t.Port, 853)
	if err := checkPair(t.Cert, t.Key); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// checkPair says whether a certificate and its key can be read, if they are given.
func checkPair(cert, key string) error {
	if (cert == "") != (key == "") {
		return errors.New("a certificate needs its key, and a key its certificate")
	}
	if cert == "" {
		return nil
	}
	_, err := tls.LoadX509KeyPair(cert, key)
	return err
}

// checkAddr says whether addr is host:port with an IP address and a port number.
func checkAddr(addr string) error {
	if _, err := netip.ParseAddrPort(addr); err == nil {
		return nil
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && (host == "" || host == "localhost") {
		if _, err := net.LookupPort("tcp", port); err == nil {
			return nil
		}
	}
	return fmt.Errorf("bad address %q; expected IP:port such as 127.0.0.1:5300 or [::1]:5300", addr)
}

// canonicalAddr spells one address in one way: ::ffff:127.0.0.1 is 127.0.0.1.
func canonicalAddr(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr // of all addresses, or of localhost
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
}

// onLoopback says whether only this host reaches addr.
func onLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// tlsPrefix marks an address of DNS over TLS.
const tlsPrefix = "tls://"

// listeners are the addresses of a block's DNS: those of Bind, then those of TLS.
func (z Zone) listeners() []string {
	addrs := slices.Clone(z.Bind)
	if z.TLS.Cert == "" {
		return addrs
	}
	for _, a := range z.Bind {
		host, _, _ := net.SplitHostPort(a) // withDefaults has checked it
		addrs = append(addrs, tlsPrefix+net.JoinHostPort(host, strconv.Itoa(max(z.TLS.Port, 0))))
	}
	return addrs
}

func portIsZero(addr string) bool {
	_, port, _ := net.SplitHostPort(addr)
	return port == "0"
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
