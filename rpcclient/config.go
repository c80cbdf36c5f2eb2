package rpcclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/rpc"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// Config of a Client. nil and zero fields mean the defaults given. New copies it, so
// several clients may share one.
type Config struct {
	// Source tells where the endpoints come from. nil: a resolver.Resolver that asks
	// the servers of the environment variable ROLLCALL_DNS, else those of the system. All
	// clients of a process that have no Source share one, and with it one cache, and one
	// session with a server that tells about changes. It ends with the last of them. (If
	// ROLLCALL_DNS changes, clients that are made after that share another one. Those that were
	// made before keep their servers, unless it was empty.) A Source of
	// your own may be shared as well: give several clients one *resolver.Resolver. A client
	// in a bubble of testing/synctest needs a Source.
	Source resolver.Source
	// Linger is how long a node that works is used after the source has taken it away
	// together with more than half of the others, by an answer of DNS. What a session of push
	// tells of a change is believed at once: see "Which nodes" in the package comment. 0: 30s.
	// Negative: not at all.
	Linger time.Duration

	// Policy chooses among the usable nodes of a tier. nil: balancer.P2C.
	Policy balancer.Policy
	// Health decides when a node is ejected and when it is used again. Its UpOnly is
	// always set: a node without a connection waits for the dialler.
	Health balancer.Health

	// Timeout of a whole call, if its context has no deadline. 0: 10s.
	// Negative: none; then calls wait for ever, like those of net/rpc.
	Timeout time.Duration
	// WaitForNode is how long a call waits while no node is usable. 0: 5s. Negative:
	// it fails at once. A call does not wait for a name that does not exist, or that
	// has been gone for longer than Linger. A call that all connected nodes have refused
	// waits as long, in all, while a node is connected to for the first time. When many calls
	// wait and a node comes up, they go out within half a second, so that the first of several
	// nodes does not get them all. Those of Go do not wait side by side: they go out together,
	// in their order.
	WaitForNode time.Duration
	// Methods declares what is known of methods, "Arith.Multiply", for all calls.
	// Other methods are not idempotent, unless the call or [MethodOf] says so.
	Methods map[string]Method
	// Retry says how often calls are tried again.
	Retry RetryConfig

	// Conn says how connections are made, kept and ended.
	Conn ConnConfig

	// Interceptors see each call, the first one outermost.
	Interceptors []Interceptor
	// Trace hears of all calls, besides the Trace in a call's context.
	Trace *Trace
	// Logger hears of nodes that come and go, and of a name that cannot be resolved. Without
	// a Source it also hears what the shared Resolver says about the client's service, and
	// what that says about no service of a client, such as about DNS servers; clients with one
	// Logger cause one line. docs/metrics-go.md says what the levels mean. nil: silence.
	Logger *slog.Logger
}

// RetryConfig says how often a call is tried again after a server may have executed it,
// if its [Method] allows that. Attempts that no server has executed are not counted: they
// end with the call's time.
type RetryConfig struct {
	// AttemptTimeout of one attempt. 0: half of the call's time if the call is
	// idempotent, so that there is time for another attempt; else all of it.
	AttemptTimeout time.Duration
	// Max is the number of retries of a call. 0: 2. Negative: none.
	Max int
	// Budget is what retries and hedges together may add to the calls. The zero value
	// allows a tenth of the calls, and 3 a second.
	Budget balancer.Budget
}

// ConnConfig says how a Client makes, keeps and ends its connections.
type ConnConfig struct {
	// PerNode is how many connections are kept to each node. 0: 2.
	PerNode int
	// MaxNodes is how many nodes of one priority are connected to at most. If there
	// are more, each client takes some at random and stays with them. 0: 200, because
	// with two connections each they stay below the 1,024 descriptors that a process
	// usually has. Those that do not serve have as many substitutes, so that it can be
	// twice as many nodes for a while. Besides, nodes that are not chosen any more are
	// kept for a minute, and those that are not announced any more for Linger.
	// balancer.Subset says more exactly which client connects to which nodes.
	MaxNodes int

	// Dial makes the connection, and returns when ctx ends. nil: TCP to ep.Addr and
	// each of ep.Alt as RFC 8305 has it: the next one 250ms after the one before.
	Dial func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error)
	// DialTimeout is for connecting, TLS and the first ping. 0: 3s.
	DialTimeout time.Duration
	// TLS is spoken on each connection, if not nil. The certificate is verified
	// against ServerName, or if that is empty against the endpoint's Target, which
	// must be one that TLSNames admits. docs/security.md has the whole.
	TLS *tls.Config
	// TLSNames are the targets that a certificate may be verified against: a name, or
	// ".example.com" for all names under it. nil: those under the service's domain,
	// ".svc" for "_math._tcp.svc". DNS can be forged, so it must not choose the name
	// alone.
	TLSNames []string
	// Codec makes the codec of a connection. nil: the gob of net/rpc. Others,
	// for example jsonrpc.NewClientCodec, must write a request in WriteRequest,
	// not later. What fails to encode or to decode costs a reconnection.
	Codec func(io.ReadWriteCloser) rpc.ClientCodec

	// PingInterval is how long a connection may be silent before it is pinged: by a
	// call of a method that no server has, "_rollcall.Ping". Each connection begins
	// with a ping. 0: 10s. Negative: no pings, not even the first: for a server that
	// calls rpc.ServeRequest in a loop and ends it at the first error, which an unknown
	// method is.
	PingInterval time.Duration
	// PingTimeout is how long the answer to a ping may take. 0: 2s.
	PingTimeout time.Duration
	// WriteTimeout is how long a write may make no progress before its connection
	// is given up. 0: 5s.
	WriteTimeout time.Duration
	// MaxReply bounds the encoded size of a reply; a larger one ends its
	// connection. 0: 1 GiB, the bound of encoding/gob. It is for gob only.
	MaxReply int
	// DrainTimeout is how long calls in flight may take to finish on a node that
	// is no longer announced. 0: 30s.
	DrainTimeout time.Duration
}

// withDefaults checks a configuration and fills in the defaults.
func (cfg *Config) withDefaults() (Config, error) {
	var out Config
	if cfg != nil {
		out = *cfg
	}
	if err := out.check(); err != nil {
		return out, fmt.Errorf("rpcclient: config: %w", err)
	}
	var err error
	if out.Conn, err = out.Conn.withDefaults(); err != nil {
		return out, fmt.Errorf("rpcclient: config: Conn.%w", err)
	}
	out.Methods, out.Interceptors = maps.Clone(out.Methods), slices.Clone(out.Interceptors)
	out.Timeout = max(0, cmp.Or(out.Timeout, 10*time.Second))
	out.WaitForNode = cmp.Or(out.WaitForNode, 5*time.Second)
	out.Linger = max(0, cmp.Or(out.Linger, 30*time.Second))
	out.Retry.Max = max(0, cmp.Or(out.Retry.Max, 2))
	for name, m := range out.Methods {
		out.Methods[name] = m.bounded()
	}
	bound(&out.Timeout, &out.WaitForNode, &out.Linger, &out.Retry.AttemptTimeout)
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out, nil
}

// check refuses values that have no meaning.
func (cfg *Config) check() error {
	if err := checkSource(cfg.Source); err != nil {
		return err
	}
	if err := cfg.Retry.Budget.Check(); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	if cfg.Retry.AttemptTimeout < 0 {
		return errors.New("retry: AttemptTimeout is negative: want more than 0, or 0 for the default")
	}
	for name, m := range cfg.Methods {
		if err := m.check(name); err != nil {
			return fmt.Errorf("method %q of Methods: %w", name, err)
		}
	}
	return nil
}

// checkSource has a Resolver check its servers, so that a mistake is an error of New and
// not one of each call.
func checkSource(s resolver.Source) error {
	r, ok := s.(*resolver.Resolver)
	switch {
	case s == nil:
		return new(resolver.Resolver).Check() // the one that is shared
	case !ok:
		return nil
	case r == nil:
		return errors.New("nil *resolver.Resolver as Source: give one, or leave Source out")
	}
	if err := r.Check(); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

// withDefaults checks the settings and fills in the defaults. Its error begins with the
// name of a field.
func (c ConnConfig) withDefaults() (ConnConfig, error) {
	for name, value := range map[string]int64{
		"PerNode": int64(c.PerNode), "MaxNodes": int64(c.MaxNodes), "MaxReply": int64(c.MaxReply),
		"DialTimeout": int64(c.DialTimeout), "PingTimeout": int64(c.PingTimeout),
		"WriteTimeout": int64(c.WriteTimeout), "DrainTimeout": int64(c.DrainTimeout),
	} {
		if value < 0 {
			return c, fmt.Errorf("%s is negative: want more than 0, or 0 for the default", name)
		}
	}
	var err error
	if c.TLSNames != nil && c.TLS == nil { // the calls would be in clear, and no name verified
		return c, errors.New("TLSNames is given without TLS: want both, or neither")
	}
	if c.TLSNames, err = checkTLSNames(c.TLSNames); err != nil {
		return c, err
	}
	c.PerNode = cmp.Or(c.PerNode, 2)
	c.MaxNodes = cmp.Or(c.MaxNodes, 200)
	c.DialTimeout = cmp.Or(c.DialTimeout, 3*time.Second)
	c.PingInterval = max(0, cmp.Or(c.PingInterval, 10*time.Second))
	c.PingTimeout = cmp.Or(c.PingTimeout, 2*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 5*time.Second)
	c.MaxReply = cmp.Or(c.MaxReply, 1<<30)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	bound(&c.DialTimeout, &c.PingInterval, &c.PingTimeout, &c.WriteTimeout, &c.DrainTimeout)
	return c, nil
}

// forever is 36 years. Added to the client's clock, it is still a time to come: the sum of
// that clock and math.MaxInt64 would be negative, which is no deadline at all.
const forever = time.Duration(1 << 60)

// bound makes what is longer than forever that long.
func bound(durations ...*time.Duration) {
	for _, d := range durations {
		*d = min(*d, forever)
	}
}
