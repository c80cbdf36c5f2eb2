package rpcclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// Config of a Client. nil and zero fields mean the defaults given. A Config may be
// shared by several clients; it is copied by New.
type Config struct {
	// Source tells where the endpoints come from. nil: a resolver.Resolver that
	// asks Servers. A *resolver.Resolver may be shared between clients.
	Source resolver.Source
	// Servers are the DNS servers to ask, "127.0.0.1:5300", or "ns1" for port 53;
	// empty: those in the environment variable ROLLCALL_DNS, else the system's.
	// It must be empty if Source is given.
	Servers []string

	// Linger is how long a node that works is used after the source has taken it away
	// together with more than half of the others: see "Believing" in the package
	// comment. 0: 30s. Negative: not at all.
	Linger time.Duration

	// Policy chooses among the usable nodes of a tier. nil: balancer.P2C.
	Policy balancer.Policy
	// Health decides when a node is ejected and when it is back. Its UpOnly is
	// always set: a node without a connection waits for the dialler.
	Health balancer.Health

	// Timeout of a whole call, if its context has no deadline. 0: 10s.
	// Negative: none, then calls wait for ever like net/rpc's.
	Timeout time.Duration
	// AttemptTimeout of one try. 0: half of what the call has if it is idempotent,
	// so that there is time for another; else all of it, for there can be none.
	AttemptTimeout time.Duration
	// WaitForNode is how long a call waits while no node is usable. 0: 5s.
	// Negative: it fails at once. A call for a name that does not exist never waits,
	// nor one for a name that has been gone for longer than Linger.
	WaitForNode time.Duration
	// Retries is how often a call is tried again after a server may have executed
	// it, which only idempotent methods allow. 0: 2. Negative: never. Tries that
	// surely were not executed are not counted; they end with the call's time.
	Retries int
	// Budget is what retries and hedges together may add to the calls. The zero value
	// allows a tenth of them, and 3 a second. Tries that surely were not executed are
	// free.
	Budget balancer.Budget
	// Methods declares what is known of methods, "Arith.Multiply": once, for all
	// calls. Others are not idempotent, unless the call says so.
	Methods map[string]Method

	// ConnsPerNode is how many connections are kept to each node. 0: 2.
	ConnsPerNode int
	// MaxNodes is how many nodes of one priority are connected to at most; if there
	// are more, each client takes some at random, and stays with them. 0: 200, for
	// with two connections each they stay below the 1,024 descriptors that a process
	// usually has. A balancer.Subset says more exactly who connects to whom.
	MaxNodes int
	// Dial makes the connection, and returns when ctx ends. nil: TCP to ep.Addr and
	// each of ep.Alt as RFC 8305 has it: the next one 250ms after the one before.
	Dial func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error)
	// TLS is spoken on each connection, if not nil. The certificate is verified
	// against ServerName, or if that is empty against the endpoint's Target, which
	// must be one that TLSNames admits. docs/security.md has the whole.
	TLS *tls.Config
	// TLSNames are the targets that may be verified against: a name, or
	// ".example.com" for all under it. nil: those under the service's domain, ".svc"
	// for "_math._tcp.svc". DNS can be forged, so that it must not choose the name
	// alone.
	TLSNames []string
	// DialTimeout is for connecting, TLS and the first ping. 0: 3s.
	DialTimeout time.Duration
	// Codec makes the codec of a connection. nil: the gob of net/rpc. Others,
	// for example jsonrpc.NewClientCodec, must write a request in WriteRequest,
	// not later; what fails to encode or to decode costs a reconnection.
	Codec func(io.ReadWriteCloser) rpc.ClientCodec

	// PingInterval is how long a connection may be silent before it is asked for a
	// sign of life: a call of a method that no server has, "_rollcall.Ping". Each
	// connection begins with one. 0: 10s. Negative: no pings, not even the first.
	PingInterval time.Duration
	// PingTimeout is how long the sign may take. 0: 2s.
	PingTimeout time.Duration
	// WriteTimeout is how long a write may make no progress before its connection
	// is given up. 0: 5s.
	WriteTimeout time.Duration
	// MaxReply bounds the encoded size of a reply; a larger one ends its
	// connection. 0: 1 GiB, the bound of encoding/gob. It is for gob alone.
	MaxReply int
	// DrainTimeout is how long calls in flight may take to finish on a node that
	// is no longer announced. 0: 30s.
	DrainTimeout time.Duration

	// Interceptors see each call, the first outermost.
	Interceptors []Interceptor
	// Trace hears of all calls, besides the Trace in a call's context.
	Trace *Trace
	// Logger hears of nodes coming and going. nil: silence.
	Logger *slog.Logger
}

// Method is what is declared of a method.
type Method struct {
	// Idempotent: executing it twice is as good as once. A call is then tried
	// again, too, when a server may have executed it.
	Idempotent bool
	// ExtraLoad, of an Idempotent method, is the share of calls that may be sent
	// to a second node while the first is out: 0.02 sends one to the slowest 2 % of
	// calls, and takes whichever answer comes first. 0: none. At most 0.5.
	ExtraLoad float64
}

const (
	defaultTimeout = 10 * time.Second
	// maxQueue bounds what is encoded and not yet written on a connection: enough
	// for a batch, small enough for its buffers to be kept.
	maxQueue = 1 << 20
)

// withDefaults checks a configuration and fills in the defaults.
func (cfg *Config) withDefaults() (Config, error) {
	var out Config
	if cfg != nil {
		out = *cfg
	}
	if out.Source != nil && len(out.Servers) > 0 {
		return out, errors.New("rpcclient: config: Servers: not used beside a Source; give one of the two")
	}
	for i, server := range out.Servers {
		if err := resolver.CheckServer(server); err != nil {
			return out, fmt.Errorf("rpcclient: config: Servers[%d] %q: want host or host:port: %w", i, server, err)
		}
	}
	if out.Source == nil && len(out.Servers) == 0 {
		if _, err := resolver.Environment(); err != nil {
			return out, fmt.Errorf("rpcclient: config: %w", err)
		}
	}
	if err := out.check(); err != nil {
		return out, err
	}
	var err error
	if out.TLSNames, err = checkTLSNames(out.TLSNames); err != nil {
		return out, err
	}
	if out.Source == nil {
		out.Source = &resolver.Resolver{Servers: out.Servers, Logger: out.Logger}
	}
	def(&out.Timeout, defaultTimeout)
	if out.Timeout < 0 {
		out.Timeout = 0
	}
	def(&out.WaitForNode, 5*time.Second)
	def(&out.Retries, 2)
	out.Retries = max(0, out.Retries)
	def(&out.ConnsPerNode, 2)
	def(&out.MaxNodes, 200)
	def(&out.Linger, 30*time.Second)
	def(&out.DialTimeout, 3*time.Second)
	def(&out.PingInterval, 10*time.Second)
	out.PingInterval = max(0, out.PingInterval)
	def(&out.PingTimeout, 2*time.Second)
	def(&out.WriteTimeout, 5*time.Second)
	def(&out.MaxReply, 1<<30)
	def(&out.DrainTimeout, 30*time.Second)
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out, nil
}

// check refuses values that have no meaning, rather than give them one.
func (cfg *Config) check() error {
	if err := cfg.Budget.Check(); err != nil {
		return fmt.Errorf("rpcclient: config: Budget: %w", err)
	}
	for name, value := range map[string]int64{
		"ConnsPerNode": int64(cfg.ConnsPerNode), "MaxNodes": int64(cfg.MaxNodes), "MaxReply": int64(cfg.MaxReply),
		"AttemptTimeout": int64(cfg.AttemptTimeout), "DialTimeout": int64(cfg.DialTimeout), "PingTimeout": int64(cfg.PingTimeout),
		"WriteTimeout": int64(cfg.WriteTimeout), "DrainTimeout": int64(cfg.DrainTimeout),
	} {
		if value < 0 {
			return fmt.Errorf("rpcclient: config: %s is negative: want more than 0, or 0 for the default", name)
		}
	}
	for name, m := range cfg.Methods {
		if err := m.check(); err != nil {
			return fmt.Errorf("rpcclient: config: Methods[%q]: %w", name, err)
		}
		if service, method, ok := strings.Cut(name, "."); !ok || service == "" || method == "" {
			return fmt.Errorf(`rpcclient: config: Methods[%q]: want service and method, such as "Arith.Multiply"`, name)
		}
	}
	return nil
}

// def gives a zero field its default.
func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (m Method) check() error {
	if !(m.ExtraLoad >= 0 && m.ExtraLoad <= 0.5) {
		return fmt.Errorf("ExtraLoad %v: want a share from 0 to 0.5", m.ExtraLoad)
	}
	if m.ExtraLoad > 0 && !m.Idempotent {
		return errors.New("ExtraLoad: only an Idempotent method may be sent twice")
	}
	return nil
}
