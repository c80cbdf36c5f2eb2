package dnsd

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is everything a Server is told. The zero value is the default server.
type Config struct {
	// Zones are the server blocks. None means one zone with all defaults.
	Zones []Zone

	// StateDir is the directory for the small files of memory stores, see
	// Store.Ceiling; it is made. Empty: they have none.
	StateDir string

	// Logger gets what an operator should know. Nil is silent.
	Logger *slog.Logger

	// Collectors are shown under /metrics of each hook beside dnsd's own.
	Collectors []prometheus.Collector

	// LameDuck is how long everything goes on after Run's context has ended, while
	// /readyz says 503 already: a load balancer or an orchestrator has so long to
	// look elsewhere. Default 0: not at all.
	LameDuck time.Duration

	// LogLevel and LogFormat are the Corefile's "log": debug, info, warn or error,
	// empty means info; json or console, empty means what suits the output. New does
	// not use them: they are for whoever builds Logger.
	LogLevel, LogFormat string
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

	// NS are the name servers of the zone; empty means "ns." before each origin,
	// with the addresses of Bind that others can reach.
	NS []NameServer
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

// NameServer is one name of the zone's NS records.
type NameServer struct {
	Name string // FQDN
	// Addrs are published if Name lies in the zone. None means this server's: those
	// of Bind that others can reach.
	Addrs []netip.Addr
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
	// PerAddress is how many of them one address may have, Idle how long one that
	// nobody uses stays open. Zero: the hook's defaults.
	PerAddress int
	Idle       time.Duration
	// Holds and Watches are how many registrations may be held, and how many watches
	// open, at one time. Zero: the hook's defaults.
	Holds, Watches int
}

// Token is a bearer secret and what it allows.
type Token struct {
	// Name stands for the token in the audit log. Empty: its place, "token 2".
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

// Store is where registrations live.
type Store struct {
	// Kind is "memory" or "bolt"; empty means memory.
	Kind string
	// Path is the file of a bolt store.
	Path string
	// Ceiling is the path of a file of a few octets that holds the highest
	// revision given out, so that revisions and serials are never given out twice.
	// Empty: the path of a bolt store and ".ceiling"; of a memory store a file in
	// Config.StateDir, or none: then a dnsd that is killed after more than 15
	// changes a second may repeat serials that secondaries have seen.
	Ceiling string
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
	// RateLimit is how many equal UDP answers a second one address prefix gets,
	// and a sixteenth of how many in all; what is over gets TC. 0 is the default,
	// 200 for sources that are not of a private network; negative is off. Loopback,
	// TCP and clients with a DNS cookie are never limited.
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
