package dnsd

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/register"
)

// What a Config that says nothing serves. The other defaults are in the rooms that
// use them; Corefile.example shows all of them.
const (
	DefaultOrigin = "svc."
	DefaultDNS    = "127.0.0.1:5300"
	DefaultHook   = register.DefaultHook
)

// Config is everything a Server is told. The zero value is the default server.
type Config struct {
	// Zones are the server blocks. None means one zone with all defaults.
	Zones []Zone

	// StateDir is the directory for the small files of memory stores, see
	// Store.Ceiling; it is made. Empty: they have none.
	StateDir string

	// Logger gets what an operator should know. Nil: no log.
	Logger *slog.Logger

	// Collectors are shown under /metrics of each hook beside dnsd's own.
	Collectors []prometheus.Collector

	// Stores opens the stores that several dnsd share, see SharedStore. Nil: this dnsd
	// has none. The command of the module dnsd/cluster has them.
	Stores Stores

	// Dial connects to the other members of a cluster, for tests that break the network
	// between them. Nil: a net.Dialer does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// LameDuck is how long the server goes on after Run's context has ended. It
	// answers everything as before, but /readyz says 503, so that a load balancer or
	// an orchestrator can look elsewhere. Default 0: it stops at once.
	LameDuck time.Duration
}

// Zone is one server block: a set of registrations, and the zones in which they are
// published. A zero field is the default.
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
	// half of the lease. Default 5s.
	TTL     time.Duration
	Lease   Lease
	Guard   Guard
	Limits  Limits
	History History

	Apex Apex
	// Reverse are prefixes whose reverse zones are served as well, with a PTR
	// record for each instance's address. IPv4 prefixes of 8, 16 or 24 bits, IPv6
	// prefixes of a multiple of 4 bits.
	Reverse []netip.Prefix

	Transfer Transfer
	DNS      DNS

	places *places // in the Corefile; nil: made in Go
}

// Lease is how long an instance stays registered without a renewal.
type Lease struct {
	// Default is for an instance that asks for none: 15s.
	Default time.Duration
	// Min and Max bound what an instance may ask for. Defaults 3s and 24h.
	Min, Max time.Duration
}

// Guard holds back mass expiry: when much of a service expires at once, the fault is
// more likely in the network than in the instances.
type Guard struct {
	Off bool
	// Percent of a service that may expire in one lease without proof of death;
	// default 30.
	Percent int
	// Leases and Max end a reprieve: after that many leases, or after that time.
	// Defaults 10 and 15m.
	Leases int
	Max    time.Duration
	// NoProbe switches off the TCP probes that prove death.
	NoProbe bool
}

// Limits bound how many instances may be registered.
type Limits struct {
	Instances  int // default 1,048,576
	PerService int // default 10,000
}

// History bounds what watchers and incremental zone transfer can look back on.
type History struct {
	Changes int           // default 32,768
	Age     time.Duration // default 24h
}

// Apex is what the zone says of itself.
type Apex struct {
	// NS are the name servers; empty means "ns." before each origin, with the
	// addresses of Bind that others can reach.
	NS []NameServer
	// Hostmaster is the mailbox of the SOA record, as a domain name. Default
	// "hostmaster." before the origin.
	Hostmaster string
	// NegativeTTL is the SOA minimum, RFC 2308; at most the TTL, which is the default.
	NegativeTTL time.Duration
}

// NameServer is one name of the zone's NS records.
type NameServer struct {
	Name string // FQDN
	// Addrs are published if Name lies in the zone. None means this server's: those
	// of Bind that others can reach.
	Addrs []netip.Addr
}

// Hook is the HTTP hook: its address, and its clients' rights.
type Hook struct {
	// Addr is host:port; empty means 127.0.0.1:8053.
	Addr string
	// TLS switches the hook to HTTPS. The zero value is off.
	TLS TLS
	// ClientCA is a PEM file: every client must show a certificate signed by it.
	ClientCA string
	Tokens   []Token
	// Insecure allows an address off loopback with neither tokens nor client
	// certificates.
	Insecure bool
	Limits   HookLimits
}

// HookLimits bound what the hook takes from its clients.
type HookLimits struct {
	// Rate is how many requests a second one token, or else one address, may make.
	// Default 1000.
	Rate int
	// Connections is how many connections the hook holds in all, default 16,384, and
	// PerAddress how many of them are of one address, default 4096.
	Connections, PerAddress int
	// Idle is how long an unused connection stays open. Default 2m.
	Idle time.Duration
	// Holds and Watches are how many registrations may be held, and how many watches
	// open, at one time. Defaults as many as Connections, and 10,000.
	Holds, Watches int
}

// Token is a bearer secret and what it allows.
type Token struct {
	// Name is how the audit log calls the token. Empty: its place, "token 2".
	Name   string
	Secret string
	// Verbs are of read, write, admin; none means read and write.
	Verbs []string
	// Services are names or patterns, "_math._tcp", "_math.*", "*"; none means
	// all.
	Services []string
	// AnyHost allows to register other hosts than the peer's own address.
	AnyHost bool
}

// TLS are the files of a certificate and its key, in PEM. They are read again at each
// reload.
type TLS struct {
	Cert, Key string
}

// Transfer lists the servers that may copy the zone (AXFR, IXFR) and those that are
// told of changes (NOTIFY). The zero value: none.
type Transfer struct {
	To   []Secondary
	Keys []TSIG
}

// Secondary is another server that copies the zone, or a group of them.
type Secondary struct {
	// Addr is an address with or without a port (53 by default), that may copy and is
	// told, or a prefix, that may only copy. Empty: every server that signs with Key.
	Addr string
	// Key is the name of the TSIG key that must sign; empty means none.
	Key string
}

// TSIG is a shared secret, RFC 8945.
type TSIG struct {
	Name      string // FQDN
	Algorithm string // such as "hmac-sha256", with or without a final dot
	Secret    string // base64
}

// DNS is how the name server answers on a block's addresses.
type DNS struct {
	// UDPSize is the largest UDP answer in octets, default 1232.
	UDPSize int
	// RateLimit is how many equal UDP answers a second one address prefix gets; of
	// all UDP answers it gets 16 times as many. An answer above the limit has TC set.
	// 0 is the default: 200, but no limit for private networks. Negative is off.
	// Loopback, TCP and clients with a DNS cookie are never limited.
	RateLimit int
	// NSID is the server's name for clients that ask, RFC 5001. Empty: none.
	NSID string
	// CookieSecrets are hexadecimal secrets of 16 octets, newest first, RFC
	// 9018. Empty: a random one each start.
	CookieSecrets []string
	TCP           TCP
	Push          Push
	// TLS serves DNS over TLS, RFC 7858, on the hosts of Bind. The zero value is off.
	TLS TLS
	// TLSPort is its port, default 853; -1 means any free one.
	TLSPort int
}

// Push bounds the sessions of clients that follow the zones over TCP and TLS (RFC 8490).
type Push struct {
	Off        bool // there are none
	Sessions   int  // default 20,000; they do not count as connections
	PerAddress int  // default 1000
	// Name is the host name in the certificate of TLS. Clients find it by
	// _dns-push-tls._tcp in the zone (RFC 8765 section 6.1). Empty: they do not.
	Name string
	Port int // by which they reach TLS under that name; default TLSPort
}

// TCP bounds the TCP and TLS connections of the name server.
type TCP struct {
	Connections int           // default 1000
	PerAddress  int           // default 100
	Idle        time.Duration // until a silent connection is closed; default 10s
}
