package resolver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	defaultMinTTL   = time.Second     // with less, clients would ask more often than leases are renewed
	defaultMaxTTL   = 5 * time.Minute // with more, a typo in a zone would outlive its repair
	defaultStaleFor = time.Hour       // a name server is back sooner than that
	defaultTimeout  = 2 * time.Second
	// defaultMaxEndpoints is about what fits into a DNS message of 64 KiB.
	defaultMaxEndpoints = 2000
)

// Resolver resolves SRV names. Its zero value is ready and asks the servers of
// the system. It is safe for concurrent use; do not copy it, and do not change
// its fields after the first use.
//
// Make one for a process and share it. Two Resolvers have two caches, and two sessions with a
// server that tells about changes.
type Resolver struct {
	// Servers are the DNS servers to ask, as "host:port", or "host" for port 53. Empty:
	// those that ROLLCALL_DNS in the environment names, separated by commas or blanks;
	// without it those of /etc/resolv.conf, read again when it changes, or the local host.
	Servers []string
	// TCP means to ask over TCP only (RFC 7766). Without it, TCP is used where UDP is not
	// enough or does not get through.
	TCP bool
	// TLS, when set, means to ask over TLS only (RFC 7858), on port 853 unless Servers says
	// another. Without ServerName the certificate must be for the host in Servers:
	//
	//	resolver.Resolver{Servers: []string{"dnsd.example.com"}, TLS: &tls.Config{RootCAs: roots}}
	//
	// The servers of ROLLCALL_DNS and resolv.conf are asked over TLS, too. A port in
	// ROLLCALL_DNS counts: name 853 there, or none, and not the port for UDP and TCP.
	TLS *tls.Config

	// MinTTL: a smaller TTL, including 0, counts as this. A name is asked for sooner only
	// after a Refresh. 0: 1s. At least 1ms.
	MinTTL time.Duration
	MaxTTL time.Duration // a larger TTL counts as this. 0: 5m
	// StaleFor is how long past their expiry endpoints are used when no server answers.
	// 0: 1h. Negative: not at all.
	StaleFor time.Duration
	// Timeout bounds one try on one server. 0: 2s, or as resolv.conf says. A question is
	// tried at most twice on each server, or as often as resolv.conf says. The context of
	// Lookup bounds the whole.
	Timeout time.Duration
	// MaxEndpoints bounds the endpoints of one answer. Of a larger set, the records of the
	// best priorities are used, and of the last of these priorities a random part that
	// stays the same. The Logger gets a warning. 0: 2000.
	MaxEndpoints int

	// NoPush means that names with a Watch are kept fresh by their TTL alone. Without it, a
	// server that knows how is asked to tell about changes (see Following in the package
	// comment).
	NoPush bool
	// PushTLS is the configuration of TLS for servers of DNS push that were discovered. Without
	// ServerName the certificate must be for the name under which the server was found. nil:
	// the roots of the system. Without ServerName and RootCAs, only a server whose name is
	// within the zone is used: DNS alone could name any other one.
	PushTLS *tls.Config

	// Dial connects to a server over the network "udp" or "tcp". A "udp" connection must
	// keep packet boundaries and deliver only packets of that server. nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger gets what no error tells: records that are left out, servers that failed,
	// empty answers that wait for confirmation. nil: no log. It may call the Resolver, but must
	// not wait for the end of a Watch.
	Logger *slog.Logger
	// Rand is the source of random pauses, for tests that must repeat. It is used under a
	// lock. nil: the global source. Query ids never come from it.
	Rand *rand.Rand

	system system
	good   atomic.Pointer[string] // the server that answered last
	turn   atomic.Uint32          // the server to begin with, if resolv.conf says "rotate"
	lossy  lossy

	source func(netip.Addr) netip.Addr // nil: routeSource
	wall   func() time.Time            // nil: time.Now; the wall clock, which may jump

	mu          lock // guards names, what is in them, the servers of push, and Rand
	names       map[string]*entry
	pushServers map[string]*pushServer // by address
	pushZones   map[string]*pushZone   // by name
}

var _ Source = (*Resolver)(nil)

// Lookup returns the endpoints of a name: from the cache while that is fresh, otherwise
// by asking, which all concurrent Lookups of the name share.
//
// When no server answers and endpoints are known, these are returned without an error,
// and State.Err says why they are stale. An error means that there are no endpoints:
// errors.Is tells ErrNoSuchName and ErrNotOffered from a failure, and errors.As finds
// the *Error. A failure is remembered for a second or two.
func (r *Resolver) Lookup(ctx context.Context, name string) (State, error) {
	key, err := canonicalName(name)
	if err != nil {
		return State{Trust: Unanswered}, &Error{Name: quoted(name), Type: typeSRV.String(), Err: err}
	}
	r.mu.Lock()
	e := r.entryLocked(key)
	if r.currentLocked(e) {
		defer r.mu.Unlock()
		state := e.currentState()
		return state, state.failure()
	}
	r.mu.Unlock()
	answered := r.fly(ctx, e)
	r.mu.Lock()
	defer r.mu.Unlock()
	state := e.currentState()
	if !answered {
		// The caller's time is over. Old endpoints are better than none (RFC 8767 section
		// 5: the client response timer).
		state.Err = &Error{Name: key, Type: typeSRV.String(), Err: context.Cause(ctx)}
		if errors.Is(ctx.Err(), context.Canceled) || !r.usableLocked(e) {
			return State{Trust: Unanswered, Err: state.Err}, state.Err
		}
		state.Trust = Stale
	}
	return state, state.failure()
}

// failure is Err if there are no endpoints.
func (s State) failure() error {
	if len(s.Endpoints) > 0 {
		return nil
	}
	return s.Err
}

// Watch yields a State of the name as soon as there is one, and then each newer State. A
// slow reader sees only the latest. Watch yields when Endpoints, Err or Trust have
// changed, and not when they were only confirmed: see Cached for the time of that. It
// ends with ctx or break. If it was the last Watch of the name, its refresh loop has
// ended then, too.
//
// The first State may be an error without endpoints. The name is asked for again and
// again, and its endpoints are yielded when it appears.
func (r *Resolver) Watch(ctx context.Context, name string) iter.Seq[State] {
	return func(yield func(State) bool) {
		key, err := canonicalName(name)
		if err != nil {
			if yield(State{Trust: Unanswered, Err: &Error{Name: quoted(name), Type: typeSRV.String(), Err: err}}) {
				<-ctx.Done() // the name stays wrong
			}
			return
		}
		e := r.join(ctx, key)
		defer r.leave(e)
		for seen := uint64(0); ctx.Err() == nil; {
			r.mu.Lock()
			state, version, ready, changed := e.state, e.version, e.ready, e.changed
			r.mu.Unlock()
			if ready && version != seen {
				seen = version
				if !yield(state) {
					return
				}
				continue
			}
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	}
}

// Refresh is a hint that the endpoints of the name may be out of date, for example
// because connections fail. The name is asked for again five times within a second,
// because an instance that disappears is often restarted at another address. The moments
// are random, because other clients have lost the same connection. Refresh does not wait.
// Further hints have no effect for a TTL, and then for ever longer, unless the endpoints
// have changed since. Hints have no effect while the servers fail. If the name has no
// Watch, the next Lookups ask.
func (r *Resolver) Refresh(name string) {
	key, err := canonicalName(name)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.names[key]; e != nil && e.failures == 0 && e.hint.take(time.Now(), r.randomLocked()) {
		e.wake()
	}
}

// Cached returns the current State of the name without asking a server, for debug pages.
// It is false when nothing is known.
func (r *Resolver) Cached(name string) (State, bool) {
	key, err := canonicalName(name)
	if err != nil {
		return State{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.names[key]
	if e == nil || e.version == 0 {
		return State{}, false
	}
	return e.currentState(), true
}

func (r *Resolver) minTTL() time.Duration {
	return max(cmp.Or(max(r.MinTTL, 0), defaultMinTTL), time.Millisecond)
}

func (r *Resolver) maxTTL() time.Duration {
	return max(cmp.Or(max(r.MaxTTL, 0), defaultMaxTTL), r.minTTL())
}

func (r *Resolver) maxEndpoints() int { return cmp.Or(max(r.MaxEndpoints, 0), defaultMaxEndpoints) }

// timeout is that of one try, unless resolv.conf says another.
func (r *Resolver) timeout() time.Duration { return cmp.Or(max(r.Timeout, 0), defaultTimeout) }

func (r *Resolver) staleFor() time.Duration {
	if r.StaleFor < 0 {
		return 0
	}
	return cmp.Or(r.StaleFor, defaultStaleFor)
}

// clamp brings a TTL from a message within MinTTL and MaxTTL.
func (r *Resolver) clamp(seconds uint32) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, r.minTTL()), r.maxTTL())
}

func (r *Resolver) log() *slog.Logger {
	if r.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Logger
}

func (r *Resolver) sourceOf() func(netip.Addr) netip.Addr {
	if r.source != nil {
		return r.source
	}
	return routeSource
}

func (r *Resolver) wallNow() time.Time {
	if r.wall != nil {
		return r.wall()
	}
	return time.Now().Round(0)
}
