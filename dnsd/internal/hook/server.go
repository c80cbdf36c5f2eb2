package hook

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/dnsd/internal/console"
	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
	"github.com/rollcall-dns/rollcall/register"
)

// Config is the configuration of a Server. Only Registry is required.
type Config struct {
	// Addr is where to listen, "127.0.0.1:8053" by default; port 0 takes a free one.
	Addr string
	// Registry has the instances. It is asked for all that is read.
	Registry *registry.Registry
	// Writer takes all writes; nil: the Registry.
	Writer registry.Writer
	// Cluster is what the dnsd are that share the registry; nil: there is only this one.
	Cluster Cluster
	// Zone is the origin under which the registry is published, for the console: "svc.".
	Zone string
	// Aliases are other origins under which the same registry is published.
	Aliases []string
	// DNS answers a question of class IN for a name in Zone; nil: there is no zone.
	DNS func(name, rrtype string) (DNSAnswer, error)
	// Push returns the sessions of clients that follow Zone or Aliases live, at most most of
	// them; nil: there are none.
	Push func(most int) PushSessions
	// Check says why an instance cannot be published with a host, by a
	// *registry.FieldError; nil, or a nil function: it can. It is called if the instance
	// or its host is new.
	Check func(key registry.Key, host string) error
	// Ready says why dnsd cannot answer yet; nil, or a nil function: it can.
	Ready func() error
	// Tokens: if there are any, every request to /v1 and /metrics must have one.
	Tokens []Token
	TLS    *TLS
	// Insecure allows Listen off loopback without tokens and client certificates: then
	// every client may do everything.
	Insecure bool
	Limits   Limits
	// Collectors are shown under /metrics with the hook's own.
	Collectors []prometheus.Collector
	// Logger gets errors. Audit gets one line a write: the sender, the action, the
	// object, the result, the revision; renewals without a change have level debug.
	// Nil: no lines.
	Logger *slog.Logger
	Audit  *slog.Logger

	times times // of tests; zero: the defaults
}

// state is a Config, prepared. A request loads it once, so that it sees one
// configuration from its beginning to its end.
type state struct {
	registry *registry.Registry
	writer   registry.Writer
	cluster  Cluster
	zone     string
	aliases  []string
	console  console.Page
	dns      func(name, rrtype string) (DNSAnswer, error)
	push     func(most int) PushSessions
	check    func(registry.Key, string) error
	ready    func() error
	grants   []grant
	access   *access
	// certificateEnds is when the server's certificate ends; zero: there is none.
	certificateEnds time.Time
	warned          []string // the warnings about it in the log
	secured         bool     // tokens or client certificates
	insecure        bool
	loopback        bool
	limits          Limits
	metrics         http.Handler
	log             *slog.Logger
	audit           *slog.Logger
}

// Server is the hook on one address. Listen makes it, Run serves.
type Server struct {
	addr     netip.AddrPort
	listener *listener
	handler  http.Handler
	state    atomic.Pointer[state]
	times    times
	callers  *limiter
	metrics  *metrics
	holds    *holds
	watches  gauge
	lists    *budget
	refusals few       // audit lines of refused writes without a token
	failures few       // lines of errors of dnsd
	accepts  few       // lines of connections that could not be accepted
	buffers  sync.Pool // of *bufio.Writer, a piece each
	bursts   sync.Pool // of *bufio.Writer, a burst each
	origin   *http.CrossOriginProtection
	timeline *timeline.Timeline

	life      context.Context // ends when all streams must end
	end       context.CancelFunc
	stopOnce  sync.Once
	flushOnce sync.Once

	serving sync.WaitGroup // the goroutines of the fronts

	followMu sync.Mutex // orders what follows
	followed *registry.Registry
	unfollow func()

	mu     sync.Mutex               // guards what follows, and orders Updates
	front  *front                   // serves new connections
	fronts map[time.Duration]*front // by idle timeout
	silent map[net.Conn]struct{}    // connections that have not sent a request yet
	ran    bool
	closed bool
}

// Listen opens the address and prepares everything; Run serves. Off loopback it needs
// tokens, client certificates, or Insecure.
func Listen(cfg Config) (*Server, error) {
	cfg.Addr = cmp.Or(cfg.Addr, register.DefaultHook)
	// Keepalive probes find a peer that lost its power while there was nothing to send:
	// 15 seconds of silence and three probes are about half a minute.
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	network := "tcp"
	if ap, err := netip.ParseAddrPort(cfg.Addr); err == nil && ap.Addr().Is4() {
		network = "tcp4" // "tcp" would make [::] of 0.0.0.0, which opens more than was asked for
	}
	ln, err := lc.Listen(context.Background(), network, cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("hook: %w", err) // err names the address
	}
	return newServer(ln, cfg)
}

// newServer serves on a listener whose address is a *net.TCPAddr.
func newServer(ln net.Listener, cfg Config) (*Server, error) {
	s := &Server{
		callers:  newLimiter(),
		lists:    newBudget(listBytes),
		buffers:  sync.Pool{New: func() any { return bufio.NewWriterSize(nil, piece) }},
		bursts:   sync.Pool{New: func() any { return bufio.NewWriterSize(nil, burst) }},
		holds:    newHolds(),
		origin:   http.NewCrossOriginProtection(),
		times:    cfg.times.withDefaults(),
		fronts:   make(map[time.Duration]*front),
		silent:   make(map[net.Conn]struct{}),
		timeline: timeline.New(),
	}
	s.refusals.report = func(more int, since time.Time) {
		s.state.Load().audit.Warn("hook writes refused", "more", more, "since", since)
	}
	s.failures.report = func(more int, since time.Time) {
		s.state.Load().log.Error("hook: serve: more of the same", "more", more, "since", since)
	}
	s.accepts.report = func(more int, since time.Time) {
		s.state.Load().log.Warn("hook: accept: more of the same", "more", more, "since", since)
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.addr = ln.Addr().(*net.TCPAddr).AddrPort()
	s.addr = netip.AddrPortFrom(s.addr.Addr().Unmap(), s.addr.Port())
	s.listener = newListener(ln)
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	if err := s.Update(cfg); err != nil {
		s.end()
		return nil, errors.Join(err, ln.Close())
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// URL is the base URL of the hook, as seen from this host.
func (s *Server) URL() string {
	scheme := "http"
	if s.listener.door.Load().encrypted {
		scheme = "https"
	}
	addr := s.addr
	if addr.Addr().IsUnspecified() {
		local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if addr.Addr().Is6() {
			local = netip.IPv6Loopback()
		}
		addr = netip.AddrPortFrom(local, addr.Port())
	}
	return scheme + "://" + addr.String()
}

// Update changes everything but the address while requests go on. On error nothing has
// changed. Watches and holds go on; one whose token, certificate or unencrypted
// connection is no longer allowed ends within 15 seconds, and no request on such a
// connection is served.
func (s *Server) Update(cfg Config) error {
	if err := s.update(cfg); err != nil {
		return err
	}
	s.follow(cfg.Registry)
	return nil
}

func (s *Server) update(cfg Config) error {
	asked := cfg.Limits.Connections
	cfg.Addr = s.addr.String()
	cfg, err := Check(cfg)
	if err != nil {
		return fmt.Errorf("hook: configure: %w", err)
	}
	st, err := s.prepare(cfg)
	if err != nil {
		return err
	}
	d, err := cfg.TLS.load()
	if err != nil {
		return err
	}
	if st.metrics, err = s.metrics.handler(cfg.Collectors); err != nil {
		return fmt.Errorf("hook: collect metrics: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("hook: update %v: %w", s.addr, http.ErrServerClosed)
	}
	if old := s.listener.door.Load(); old != nil && old.access.same(d.access) {
		d.access = old.access
	}
	st.access = d.access
	st.certificateEnds = d.ends()
	st.warned = s.warnings(st, asked)
	old := s.state.Load()
	if old != nil && old.zone != st.zone {
		// Whoever may read the new zone may not know of the old one: its events are gone
		// before the new state serves, and no more of them come.
		s.follow(nil)
		s.timeline.Reset()
	}
	s.state.Store(st)
	for _, w := range st.warned {
		if old == nil || !slices.Contains(old.warned, w) {
			st.log.Warn("hook: " + w)
		}
	}
	s.listener.door.Store(d)
	s.listener.pool.set(st.limits.Connections, st.limits.PerAddr, st.secured)
	s.callers.set(st.limits.Rate, 2*st.limits.Rate, time.Now())
	s.front = s.frontLocked(st.limits.IdleTimeout)
	return nil
}

// follow lets the holds and the timeline follow the changes of r; nil: of no registry.
func (s *Server) follow(r *registry.Registry) {
	s.followMu.Lock()
	defer s.followMu.Unlock()
	if s.life.Err() != nil {
		r = nil // closed meanwhile
	}
	if r == s.followed {
		return
	}
	if s.unfollow != nil {
		s.unfollow()
		s.timeline.Move()
	}
	s.followed, s.unfollow = r, nil
	if r != nil {
		holds, timeline := r.Attach(s.holds), r.Attach(s.timeline)
		s.unfollow = func() {
			holds()
			timeline()
		}
	}
}

func (s *Server) prepare(cfg Config) (*state, error) {
	if cfg.Registry == nil {
		return nil, errors.New("hook: configure: no registry")
	}
	st := &state{
		registry: cfg.Registry,
		writer:   cfg.Writer,
		cluster:  cfg.Cluster,
		zone:     cfg.Zone,
		aliases:  cfg.Aliases,
		console:  console.For(cfg.Zone, timeline.Kinds()),
		dns:      cfg.DNS,
		push:     cfg.Push,
		check:    cfg.Check,
		ready:    cfg.Ready,
		insecure: cfg.Insecure,
		loopback: s.addr.Addr().IsLoopback(),
		limits:   cfg.Limits,
		secured:  cfg.secured(),
		log:      cfg.Logger,
		audit:    cfg.Audit,
	}
	if st.writer == nil {
		st.writer = cfg.Registry
	}
	if st.log == nil {
		st.log = slog.New(slog.DiscardHandler)
	}
	if st.audit == nil {
		st.audit = slog.New(slog.DiscardHandler)
	}
	var err error
	if st.grants, err = newGrants(cfg.Tokens); err != nil {
		return nil, err
	}
	return st, nil
}

// Run serves until the context ends or Close is called. Then it lets requests finish,
// ends the streams with a reason, and returns nil. It serves once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.ran {
		s.mu.Unlock()
		return fmt.Errorf("hook: run %v: %w", s.addr, http.ErrServerClosed)
	}
	s.ran = true
	s.mu.Unlock()
	unhook := context.AfterFunc(ctx, s.stop)
	defer unhook()
	err := s.accept()
	_ = s.Close()
	return err
}

// Close stops a server, whether it runs or not, and returns when it has stopped.
func (s *Server) Close() error {
	s.stop()
	s.serving.Wait()
	s.holds.running.Wait()
	s.follow(nil)
	s.flushOnce.Do(func() { // a second caller waits for the first
		for _, f := range []*few{&s.refusals, &s.failures, &s.accepts} {
			f.flush()
		}
	})
	return nil
}

// stop ends accepting, streams and requests.
func (s *Server) stop() {
	s.stopOnce.Do(func() {
		s.end()
		s.holds.close()
		_ = s.listener.Close()
		s.shutdown()
	})
}

// accept hands new connections to the present front.
func (s *Server) accept() error {
	err := limit.Accept(s.life, s.listener, s.give, func(err error) {
		if s.accepts.take() {
			s.state.Load().log.Warn("hook: accept", "addr", s.addr, "error", err)
		}
	})
	if err != nil {
		return fmt.Errorf("hook: accept on %v: %w", s.addr, err)
	}
	return nil
}
