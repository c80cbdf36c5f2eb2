package nameserver

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// Bounds and defaults, each with its reason.
const (
	// defaultMaxUDP fits every path with an Ethernet MTU and IPv6 without a
	// fragment: the DNS flag day value of 2020.
	defaultMaxUDP = 1232
	// minUDP is what any client takes, EDNS or not: RFC 1035 4.2.1.
	minUDP = 512
	// maxTCP is what the length before a message over TCP can say.
	maxTCP = 1<<16 - 1
	// maxUDP is the most that clients ask for in practice. A larger answer would
	// come in many fragments, and serve an attacker as an amplifier.
	maxUDP = 4096
	// mostConns is more than a process may open files: a larger number is a typing
	// error.
	mostConns = 1_000_000
	// maxNSID keeps an OPT record small enough to fit beside any negative
	// answer in 512 octets.
	maxNSID = 64
)

// Config is what a Server does. The zero value of every field but Addrs works; a server
// without Zones refuses every name.
type Config struct {
	// Addrs are "host:port", each served over UDP and TCP. Port 0 takes a port that is
	// free for both. An empty host means all addresses.
	Addrs []string
	// Zones are found by longest match. Two of one origin are an error.
	Zones []Zone
	// RateLimit bounds the UDP answers to clients that have not proved their address.
	RateLimit RateLimit
	// MaxUDP is the largest UDP answer, and the size advertised to clients:
	// default 1232, 512 to 4096.
	MaxUDP int
	// NSID is the server's name for RFC 5001, at most 64 octets; "" means that the
	// option is ignored.
	NSID string
	// CookieSecrets are DNS Cookie secrets of 16 octets in hex (RFC 9018).
	// The first signs, all verify. To rotate, add the new one last
	// everywhere, then put it first, then drop the old one an hour later.
	// Empty means a random secret, kept until the server is closed.
	CookieSecrets []string
	// TCP are the limits of TCP and TLS connections.
	TCP TCPLimits
	// TLS serves DNS over TLS (RFC 7858) when its Addrs are not empty.
	TLS TLS
	// Push is for clients that follow the zones: see package push.
	Push Push
	// Logger gets what an operator should see; nil is silent.
	Logger *slog.Logger
}

// Zone is one zone to serve, with its secondaries.
type Zone struct {
	Zone *zone.Zone
	// Transfer are the secondaries: a client that matches one of them gets AXFR and
	// IXFR. If it is empty, no client does.
	Transfer []Secondary
	// TSIG are the zone's keys by name (FQDN, any case), for queries, transfers and
	// NOTIFY. A key of another zone is not valid here.
	TSIG map[string]Key
}

// Secondary is one secondary, or a group of them.
type Secondary struct {
	// Prefix holds the source addresses allowed to transfer. The zero value
	// allows every address, which needs a Key.
	Prefix netip.Prefix
	// Key is the TSIG key that the request must be signed with, and that signs NOTIFY;
	// "" means none.
	Key string
	// Notify is where NOTIFY goes; the zero value means nowhere.
	Notify netip.AddrPort
}

// Key is a TSIG secret.
type Key struct {
	// Algorithm is "hmac-sha256" (the default), "hmac-sha224", "hmac-sha384",
	// "hmac-sha512" or "hmac-sha1", with or without a final dot.
	Algorithm string
	// Secret is in base64, as in every name server's configuration.
	Secret string
}

// RateLimit bounds UDP answers for each address prefix (/24 and /56), so that an
// attacker with the forged address of a victim cannot use the server as an amplifier.
// A limited query is answered with TC, or with a fresh cookie if it had one, in no
// more octets than it has itself. Loopback, clients with a valid server cookie, and
// TCP are never limited.
type RateLimit struct {
	// PerSecond is how many equal answers a prefix gets each second: those to one
	// question, negative ones of one zone, and errors; and 16 times as many
	// positive ones in all. At most 1,000,000, negative means no limit. 0 is the
	// default: 200, for sources that are not of a private network.
	PerSecond int

	byDefault bool // PerSecond was 0
}

// TCPLimits bound what TCP clients can hold.
type TCPLimits struct {
	// Conns is how many connections may be open: default 1000.
	Conns int
	// ConnsPerAddr is how many from one address (one /64 for IPv6):
	// default 100.
	ConnsPerAddr int
	// Idle is how long a connection may wait for its next whole query:
	// default 10s (RFC 7766 6.2.3 asks for a few seconds). It shrinks when
	// connections run out.
	Idle time.Duration
}

// Push lets clients follow the zones over TCP and TLS, in sessions of DNS Stateful
// Operations (RFC 8490).
type Push struct {
	// Off answers every message with that opcode with NOTIMP.
	Off bool
	// Limits bound the sessions, which are not counted in TCPLimits.
	push.Limits
	// Reconfirm is push.Config.Reconfirm.
	Reconfirm func(z *zone.Zone, rr dns.RR)
}

// TLS is DNS over TLS.
type TLS struct {
	// Addrs are "host:port"; they cannot change in Update.
	Addrs []string
	// Config needs a certificate.
	Config *tls.Config
}

// ends is when the first certificate to end does so; zero if that is unknown.
func (t *TLS) ends() (first time.Time) {
	for _, c := range t.Config.Certificates {
		if c.Leaf != nil && (first.IsZero() || c.Leaf.NotAfter.Before(first)) {
			first = c.Leaf.NotAfter
		}
	}
	return first
}

// Check returns c with the default in each field that is zero, or a *setting.Error
// with what Listen would refuse. It opens nothing, and does not look at Zones: see
// CheckAccess.
func Check(c Config) (Config, error) {
	c.MaxUDP = cmp.Or(c.MaxUDP, defaultMaxUDP)
	if c.MaxUDP < minUDP || c.MaxUDP > maxUDP {
		return c, setting.Errorf("MaxUDP", "%d octets; expected %d to %d", c.MaxUDP, minUDP, maxUDP)
	}
	if len(c.NSID) > maxNSID {
		return c, setting.Errorf("NSID", "%d octets; expected at most %d", len(c.NSID), maxNSID)
	}
	var err error
	if c.RateLimit, err = c.RateLimit.withDefaults(); err != nil {
		return c, err
	}
	if c.TCP, err = c.TCP.withDefaults(); err != nil {
		return c, err
	}
	if c.Push.Limits, err = c.Push.Limits.Check(); err != nil {
		return c, err
	}
	if len(c.TLS.Addrs) > 0 && c.TLS.Config == nil {
		return c, setting.Errorf("TLS", "there is no certificate")
	}
	if _, err := parseCookieSecrets(c.CookieSecrets, [16]byte{}); err != nil {
		return c, err
	}
	return c, nil
}

// CheckAccess returns a *setting.Error with what Listen would refuse of Transfer and
// TSIG. Zone may be nil.
func (z Zone) CheckAccess() error {
	_, _, err := z.access()
	return err
}

func (r RateLimit) withDefaults() (RateLimit, error) {
	if r.PerSecond == 0 {
		r.PerSecond, r.byDefault = defaultRate, true
	}
	if r.PerSecond > maxRate {
		return r, setting.Errorf("RateLimit.PerSecond", "%d; expected at most %d", r.PerSecond, maxRate)
	}
	return r, nil
}

func (l TCPLimits) withDefaults() (TCPLimits, error) {
	l.Conns = cmp.Or(l.Conns, 1000)
	l.ConnsPerAddr = cmp.Or(l.ConnsPerAddr, 100)
	l.Idle = cmp.Or(l.Idle, 10*time.Second)
	for field, n := range map[string]int{"Conns": l.Conns, "ConnsPerAddr": l.ConnsPerAddr} {
		if n < 1 || n > mostConns {
			return l, setting.Errorf("TCP."+field, "%d; expected 1 to %d", n, mostConns)
		}
	}
	if l.Idle < 0 {
		return l, setting.Errorf("TCP.Idle", "%v is negative", l.Idle)
	}
	return l, nil
}
