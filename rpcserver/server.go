package rpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/register"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("rpcserver: server closed")

// Server serves registered methods. Make it with [New]. Its methods are safe for
// concurrent use.
type Server struct {
	cfg      Config
	logger   *slog.Logger // as given; may be nil
	services services
	calls    gate          // that run
	handler  Handler       // nil: there is no middleware
	declined atomic.Uint64 // requests
	memory   memory
	refusals gate // connections that are being told that they are refused
	panics   atomic.Uint64
	types    rpcwire.Types
	serving  serving
	stop     context.CancelFunc // ends ctx
	ctx      context.Context    // ends with the server, and registering with it
	forced   chan struct{}      // closed: connections stop reading now
	paces    struct {           // of the log; those of calls are in method
		accepts, refused, conns, codecs, hooks pace
	}

	mu        sync.Mutex // guards all below
	listeners map[net.Listener]struct{}
	addr      net.Addr // of the first listener
	conns     map[*conn]struct{}
	froms     map[netip.Prefix]int // how many of conns each client has, without those that yield
	yielding  int                  // how many of conns make room for others
	noRoomTo  time.Time            // until then no connection is searched that could make room
	accepting sync.WaitGroup       // Serve's accept loops
	running   sync.WaitGroup       // connections, and goroutines that drain them; none is added once sealed
	leases    []*register.Lease    // as in Config.Announce; nil: not made yet
	keeping   chan struct{}        // closed when registering has succeeded, failed, or will not begin
	began     bool                 // registering
	keepErr   error
	draining  bool
	isForced  bool // forced is closed
	sealed    bool // no more connections
	closed    bool
	past      Stats // counts of connections that have ended
}

// New makes a server. It does nothing until methods are registered and it serves.
func New(cfg Config) *Server {
	s := &Server{
		cfg:       cfg.withDefaults(),
		logger:    cfg.Logger,
		forced:    make(chan struct{}),
		keeping:   make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
		froms:     map[netip.Prefix]int{},
		leases:    make([]*register.Lease, len(cfg.Announce)),
	}
	s.serving.init()
	s.handler = chain(cfg.Middleware)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.calls.init(s.cfg.Limits.InFlightTotal)
	s.memory.init(s.cfg.Limits.BytesTotal)
	s.types.MaxDefinitions = int64(s.cfg.Limits.BytesTotal) / 4
	s.refusals.init(maxRefusals)
	return s
}

// Register publishes the methods of rcvr that have the form
//
//	func (t T) Name(args A, reply *R) error
//	func (t T) Name(ctx context.Context, args A, reply *R) error
//
// as "T.Name". The rules are those of net/rpc: exported method, types exported or
// builtin. It is an error if there is none, and the error says why. [Handle] publishes a
// function.
func (s *Server) Register(rcvr any) error { return s.services.register("", rcvr) }

// RegisterName is Register with a name in place of the type's.
func (s *Server) RegisterName(name string, rcvr any) error {
	if name == "" {
		return errors.New("rpcserver: register: the name is empty")
	}
	if reserved(name) {
		return fmt.Errorf("rpcserver: register %s: the name _rollcall is reserved for the protocol: give another one", name)
	}
	return s.services.register(name, rcvr)
}

// Run listens on Config.Addr and serves until ctx ends. Then it shuts down gracefully and
// returns nil, or the error of the shutdown. With signal.NotifyContext it is all that main
// has to do. A server without methods is a mistake, and an error.
func (s *Server) Run(ctx context.Context) error {
	if len(s.services.sorted()) == 0 {
		return errors.New("rpcserver: run: no method is registered: call Register first")
	}
	served := make(chan error, 1)
	l, err := s.listen(s.cfg.Addr)
	if err != nil {
		return err
	}
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served: // connections may be open
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	err = s.Shutdown(end)
	if serr := <-served; !errors.Is(serr, ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// ListenAndServe serves on addr, "host:port"; empty is Config.Addr.
func (s *Server) ListenAndServe(addr string) error {
	if addr == "" {
		addr = s.cfg.Addr
	}
	l, err := s.listen(addr)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

func (s *Server) listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rpcserver: %w", err)
	}
	return l, nil
}

// Addr is where the server listens, nil before it does. With several listeners it
// is the first, which is the one that is registered.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Serve serves what l accepts, and registers the first l served if
// Config.Announce says so. It returns ErrServerClosed after Shutdown or Close, the
// hook's answer if it refuses the registration, or the error of a listener that was
// closed by other code. Other errors of Accept, such as having no descriptors
// left, are waited out. Serve closes l.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	addr := l.Addr()
	s.mu.Lock()
	if s.draining || s.closed {
		s.mu.Unlock()
		return ErrServerClosed
	}
	// As tls.Listen does: each handshake would fail, and only the clients would be told why.
	if c := s.cfg.TLS; c != nil && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		s.mu.Unlock()
		return errors.New("rpcserver: Config.TLS has no certificate: set Certificates, GetCertificate or GetConfigForClient")
	}
	s.listeners[l] = struct{}{}
	s.accepting.Add(1)
	first := s.addr == nil
	if first {
		s.addr = addr
		if len(s.cfg.Announce) > 0 {
			s.began = true
			go s.keep(l)
		}
	}
	s.mu.Unlock()
	err := s.accept(l)
	s.accepting.Done()
	s.mu.Lock()
	delete(s.listeners, l)
	ended := s.draining || s.closed
	if first && s.keepErr != nil && !ended {
		err = s.keepErr
	} else if ended {
		err = ErrServerClosed
	}
	s.mu.Unlock()
	return err
}

// accept hands connections out until the listener is closed.
func (s *Server) accept(l net.Listener) error {
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.take(nc)
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("rpcserver: %w", err)
		case s.isDraining():
			return ErrServerClosed
		default:
			// No descriptors are left, or a connection was reset before it was accepted: the
			// server is as well as before, and giving up would make it worse.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.mu.Lock()
			s.past.AcceptErrors++
			s.mu.Unlock()
			s.logAside(&s.paces.accepts, slog.LevelWarn, "accept failed, trying again", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		}
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || s.closed
}

// take serves a connection in the background, or turns it away.
func (s *Server) take(nc net.Conn) {
	if s.cfg.TLS != nil {
		nc = tls.Server(nc, s.cfg.TLS)
	}
	c := newConn(s, nc)
	if s.add(c) {
		go s.serve(c)
		return
	}
	if s.cfg.TLS != nil || !s.refusals.try() { // no handshake for a connection that is not served
		c.discard()
		return
	}
	go func() {
		defer s.refusals.leave()
		c.refuse()
	}()
}

// ServeConn serves one connection and returns when it has ended.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(s, nc)
	if !s.add(c) {
		c.refuse()
		return
	}
	s.serve(c)
}

func (s *Server) serve(c *conn) {
	defer s.running.Done()
	err := errEnded
	defer func() { s.served(c, err) }() // also when code of the user ends this goroutine
	err = c.serve()
}

// served counts a connection out.
func (s *Server) served(c *conn, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.logPaced(&s.paces.conns, linesOfConns, slog.LevelDebug, "connection ended", "remote", c.remote, "err", err)
	}
	s.mu.Lock()
	s.removeLocked(c)
	s.past.add(c)
	s.mu.Unlock()
	if t := s.cfg.Trace; t != nil && t.ConnEnd != nil {
		s.hook(func() { t.ConnEnd(c.remote, err) })
	}
}

// hook calls a function of the user. A panic in it does not end the server.
func (s *Server) hook(f func()) {
	if err := contained("a Trace function", func() error { f(); return nil }); err != nil {
		s.logPaced(&s.paces.hooks, linesOfFaults, slog.LevelError, "panic", "err", err)
	}
}

// Tests: interop_test.go, limits_test.go, stop_test.go.
