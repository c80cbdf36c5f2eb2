package rpcclient

import (
	"errors"
	"fmt"
	"log/slog"
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

	// Conn says how connections are made, kept and ended.
	Conn ConnConfig

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
	// Hedge is the share of calls that may be sent to a second node while the first
	// request is out: 0.02 sends a second one for the slowest 2 % of calls, and the
	// first answer counts. Only an Idempotent method may have it. 0: none. At most 0.5.
	Hedge float64
}

const defaultTimeout = 10 * time.Second

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
	if out.Conn, err = out.Conn.withDefaults(); err != nil {
		return out, fmt.Errorf("rpcclient: config: Conn.%w", err)
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
	def(&out.Linger, 30*time.Second)
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
	if cfg.AttemptTimeout < 0 {
		return errors.New("rpcclient: config: AttemptTimeout is negative: want more than 0, or 0 for the default")
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
	if !(m.Hedge >= 0 && m.Hedge <= maxHedge) {
		return fmt.Errorf("Hedge %v: want a share from 0 to 0.5", m.Hedge)
	}
	if m.Hedge > 0 && !m.Idempotent {
		return errors.New("Hedge: only an Idempotent method may be sent twice")
	}
	return nil
}
