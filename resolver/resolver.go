package resolver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"
)

// Resolver resolves SRV names. Its zero value is ready and asks the servers of
// the system. It is safe for concurrent use; do not copy it, and do not change
// its fields after the first use.
type Resolver struct {
	// Servers to ask, as "host:port" or "host" for port 53. Empty: those of
	// /etc/resolv.conf, read again when it changes.
	Servers []string

	MinTTL time.Duration // a smaller TTL, 0 included, counts as this. 0: 1s
	MaxTTL time.Duration // a larger TTL counts as this. 0: 5m
	// StaleFor is how long past their expiry endpoints are used when nobody
	// answers. 0: 1h. Negative: not at all.
	StaleFor time.Duration
	// Timeout bounds one try on one server. 0: 2s. A question is tried at most
	// twice on each server; the whole is bounded by the context of Lookup.
	Timeout time.Duration

	// Dial connects to a server, network "udp" or "tcp". A "udp" connection must
	// keep packet boundaries and deliver packets of that server only. nil: a
	// net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger hears what no error tells: records left out, servers left for others,
	// empty answers waiting for confirmation. nil: silence.
	Logger *slog.Logger
	// Rand is the source of jitter, for tests that repeat; used under a lock.
	// nil: the global source. Query ids never come from it.
	Rand *rand.Rand
}
