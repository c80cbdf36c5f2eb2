package dnsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Config is everything a Server is told. The zero value is the default server.
type Config struct {
	// Zones are the server blocks. None means one zone with all defaults.
	Zones []Zone

	// Logger gets what an operator should know. Nil is silent.
	Logger *slog.Logger

	// LogLevel is the Corefile's "log": debug, info, warn or error; empty means
	// info. New does not use it: it is for whoever builds Logger.
	LogLevel string
}

// Zone is one server block: who may register, and how it is published.
type Zone struct {
	// Origins are the zone names, FQDNs such as "svc.". All of them publish the
	// same instances. Empty means "svc.".
	Origins []string

	// Bind are the DNS addresses, host:port, UDP and TCP alike. Port 0 means a
	// free one. Empty means 127.0.0.1:5300.
	Bind []string

	Hook  Hook
	Store Store

	// TTL of the records of an instance that names none: whole seconds, at most
	// half of Lease. Default 5s.
	TTL time.Duration

	// Lease of an instance that names none, default 15s. MinLease (3s) and
	// MaxLease (24h) bound what an instance may ask for.
	Lease, MinLease, MaxLease time.Duration

	Guard  Guard
	Limits Limits

	// History bounds what watchers and incremental zone transfer can look back
	// on: number of changes and their age. Zero: the registry's defaults.
	History    int
	HistoryAge time.Duration

	// NS names the name servers of the zone; empty means "ns." before each
	// origin, with the addresses of Bind that others can reach.
	NS []string
	// Hostmaster is the mailbox of the SOA, as a domain name.
	Hostmaster string
	// NegativeTTL is the SOA minimum, RFC 2308; default TTL.
	NegativeTTL time.Duration
	// Reverse are prefixes whose reverse zones are served as well, with a PTR
	// for each instance's address. IPv4 prefixes of 8, 16 or 24 bits, IPv6
	// prefixes of a multiple of 4 bits.
	Reverse []netip.Prefix

	Transfer []Transfer
	TSIG     []TSIG
	DNS      DNS
	TLS      TLS
}

// Hook is where and for whom the HTTP hook is open.
type Hook struct {
	// Addr is host:port; empty means 127.0.0.1:8053.
	Addr string
	// Cert and Key are PEM files and turn TLS on; ClientCA asks for client
	// certificates signed by it.
	Cert, Key, ClientCA string
	Tokens              []Token
	// Insecure allows an address off loopback with neither token nor client
	// certificates.
	Insecure bool
	// RequestRate is how many requests a second one token, or else one address,
	// may make. Zero: the hook's default.
	RequestRate int
	// Connections is how many connections the hook holds in all. Zero: the
	// hook's default.
	Connections int
}

// Token is a bearer secret and what it allows.
type Token struct {
	Secret string
	// Verbs are of read, write, admin; none means read and write.
	Verbs []string
	// Services are names or patterns, "_math._tcp", "_math.*", "*"; none means
	// all.
	Services []string
	// AnyHost allows to register other hosts than the peer's own address.
	AnyHost bool
}

// Store is where registrations live.
type Store struct {
	// Kind is "memory" or "bolt"; empty means memory.
	Kind string
	// Path is the file of a bolt store.
	Path string
}

// Guard holds back mass expiry. See the registry.
type Guard struct {
	// Off switches it off.
	Off bool
	// Percent of a service that may expire in a lease window without proof of
	// death; default 30.
	Percent int
	// Leases and Max end a hold: after that many leases, or that long. Defaults
	// 10 and 15m.
	Leases int
	Max    time.Duration
	// NoProbe switches the TCP probes off that prove death.
	NoProbe bool
}

// Limits bound a registry. Zero fields are the registry's defaults.
type Limits struct {
	Instances  int
	PerService int
}

// Transfer is who may have the zone (AXFR, IXFR) and who is told of changes
// (NOTIFY).
type Transfer struct {
	// To is an address with or without a port (53 by default), allowed and told,
	// or a prefix, allowed only.
	To string
	// Key is the name of the TSIG key that must sign; empty means none.
	Key string
}

// TSIG is a shared secret, RFC 8945.
type TSIG struct {
	Name      string // FQDN
	Algorithm string // FQDN such as "hmac-sha256."
	Secret    string // base64
}

// DNS is the name server's behaviour on a block's addresses. Zero fields are the
// name server's defaults.
type DNS struct {
	// UDPSize is the largest UDP answer in octets, default 1232.
	UDPSize int
	// RateLimit is how many equal responses a second one address prefix gets;
	// 0 is off. Loopback is never limited.
	RateLimit int
	// NSID is told to who asks for it, RFC 5001.
	NSID string
	// CookieSecrets are hexadecimal secrets of 16 octets, newest first, RFC
	// 9018. Empty: a random one each start.
	CookieSecrets []string
	// TCPConnections and TCPPerAddress bound TCP connections.
	TCPConnections, TCPPerAddress int
	// TCPIdle closes a silent TCP connection.
	TCPIdle time.Duration
}

// TLS is DNS over TLS, RFC 7858, on the hosts of Bind. The zero value is off.
type TLS struct {
	// Cert and Key are PEM files, read again at each reload.
	Cert, Key string
	// Port defaults to 853; -1 means any free one.
	Port int
}

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
		c.Zones[i] = z
	}
	return c, nil
}

func (z Zone) withDefaults() (Zone, error) {
	if len(z.Origins) == 0 {
		z.Origins = []string{DefaultOrigin}
	}
	origins := make([]string, len(z.Origins))
	for i, o := range z.Origins {
		o = dns.CanonicalName(o)
		if _, ok := dns.IsDomainName(o); !ok || o == "." {
			return z, fmt.Errorf("origin %q is not a zone name; expected one such as svc.example", z.Origins[i])
		}
		origins[i] = o
	}
	z.Origins = origins
	if len(z.Bind) == 0 {
		z.Bind = []string{DefaultDNS}
	}
	for _, a := range z.Bind {
		if err := checkAddr(a); err != nil {
			return z, fmt.Errorf("bind: %w", err)
		}
	}
	if z.Hook.Addr == "" {
		z.Hook.Addr = DefaultHook
	}
	if err := checkAddr(z.Hook.Addr); err != nil {
		return z, fmt.Errorf("hook: %w", err)
	}
	if (z.Hook.Cert == "") != (z.Hook.Key == "") {
		return z, fmt.Errorf("hook: tls: a certificate needs its key, and a key its certificate")
	}
	if z.Hook.ClientCA != "" && z.Hook.Cert == "" {
		return z, fmt.Errorf("hook: tls: a client CA needs a server certificate and key as well")
	}
	if !z.Hook.Insecure && len(z.Hook.Tokens) == 0 && z.Hook.ClientCA == "" && !onLoopback(z.Hook.Addr) {
		return z, fmt.Errorf("hook: %s is off loopback, where everybody could register; give it a token or a client CA, or say insecure", z.Hook.Addr)
	}
	for _, t := range z.Hook.Tokens {
		if t.Secret == "" {
			return z, fmt.Errorf("hook: token: empty secret; is the environment variable set?")
		}
	}
	switch z.Store.Kind {
	case "":
		z.Store.Kind = "memory"
	case "memory":
	case "bolt":
		if z.Store.Path == "" {
			return z, fmt.Errorf("store: bolt needs the path of its file")
		}
	default:
		return z, fmt.Errorf("store: unknown kind %q; expected memory or bolt", z.Store.Kind)
	}
	z.MinLease = orDefault(z.MinLease, minLease)
	z.MaxLease = orDefault(z.MaxLease, maxLease)
	z.Lease = orDefault(z.Lease, min(max(DefaultLease, z.MinLease), z.MaxLease))
	z.TTL = orDefault(z.TTL, min(DefaultTTL, (z.Lease/2).Truncate(time.Second)))
	z.NegativeTTL = orDefault(z.NegativeTTL, z.TTL)
	switch {
	case z.MinLease < 2*time.Second:
		return z, fmt.Errorf("lease: min %v; expected at least 2s, since a TTL is whole seconds and at most half of a lease", z.MinLease)
	case z.MinLease > z.MaxLease:
		return z, fmt.Errorf("lease: min %v is above max %v", z.MinLease, z.MaxLease)
	case z.Lease < z.MinLease || z.Lease > z.MaxLease:
		return z, fmt.Errorf("lease: %v is not within min %v and max %v", z.Lease, z.MinLease, z.MaxLease)
	case z.TTL < time.Second || z.TTL%time.Second != 0:
		return z, fmt.Errorf("ttl: %v; expected whole seconds, at least 1s", z.TTL)
	case z.TTL > z.Lease/2:
		return z, fmt.Errorf("ttl: %v is more than half of the lease %v; clients would keep dead instances for longer than the lease", z.TTL, z.Lease)
	case z.NegativeTTL < time.Second || z.NegativeTTL%time.Second != 0:
		return z, fmt.Errorf("negative: %v; expected whole seconds, at least 1s", z.NegativeTTL)
	}
	if (z.TLS.Cert == "") != (z.TLS.Key == "") {
		return z, fmt.Errorf("tls: a certificate needs its key, and a key its certificate")
	}
	z.TLS.Port = orDefault(z.TLS.Port, 853)
	for directive, pair := range map[string][2]string{"tls": {z.TLS.Cert, z.TLS.Key}, "hook: tls": {z.Hook.Cert, z.Hook.Key}} {
		if pair[0] == "" {
			continue
		}
		if _, err := tls.LoadX509KeyPair(pair[0], pair[1]); err != nil {
			return z, fmt.Errorf("%s: %w", directive, err)
		}
	}
	z.Guard.Percent = orDefault(z.Guard.Percent, 30)
	if z.Guard.Percent < 1 || z.Guard.Percent > 100 {
		return z, fmt.Errorf("guard: %d%%; expected 1%% to 100%%", z.Guard.Percent)
	}
	keys := map[string]bool{}
	for _, k := range z.TSIG {
		keys[dns.CanonicalName(k.Name)] = true
	}
	for _, t := range z.Transfer {
		if t.Key != "" && !keys[dns.CanonicalName(t.Key)] {
			return z, fmt.Errorf("transfer: to %s: no tsig key is named %s", t.To, t.Key)
		}
	}
	return z, nil
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
