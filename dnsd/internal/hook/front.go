package hook

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// maxHeader bounds the header of a request: a token, a path, and room to spare.
	maxHeader = 16 << 10
	// headerTimeout bounds how long a header may take to arrive: one packet at a time
	// over a bad link needs less.
	headerTimeout = 5 * time.Second
	// shutdownGrace is how long requests may go on after Close.
	shutdownGrace = 5 * time.Second
)

// front is an http.Server with one idle timeout. An http.Server cannot change its
// timeouts while it serves, so an Update with another idle timeout makes another
// front, for new connections. A connection keeps the front that it came to. Fronts
// stay until Close: there are as many as the Corefile has had values of idle.
type front struct {
	server *http.Server
	owner  *Server
	conns  chan net.Conn
}

// frontLocked returns the front with this idle timeout.
func (s *Server) frontLocked(idle time.Duration) *front {
	if f := s.fronts[idle]; f != nil {
		return f
	}
	f := &front{owner: s, conns: make(chan net.Conn)}
	f.server = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.times.header,
		IdleTimeout:       idle,
		MaxHeaderBytes:    maxHeader,
		// OPTIONS * has the same limits as every other request.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(presentHandler{s}, slog.LevelDebug),
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:                    s.note,
	}
	s.fronts[idle] = f
	s.serving.Go(func() { _ = f.server.Serve(f) })
	return f
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// Accept, Close and Addr make a front the listener of its http.Server.

func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.owner.life.Done():
		return nil, net.ErrClosed
	}
}

func (f *front) Close() error   { return nil }
func (f *front) Addr() net.Addr { return f.owner.listener.Addr() }

// give hands a new connection to the present front.
func (s *Server) give(c net.Conn) {
	s.mu.Lock()
	f := s.front
	s.mu.Unlock()
	select {
	case f.conns <- c:
	case <-s.life.Done():
		_ = c.Close()
	}
}

// note follows a connection from state to state (http.Server.ConnState).
func (s *Server) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	delete(s.silent, c)
	late := state == http.StateNew && s.closed
	if state == http.StateNew && !late {
		s.silent[c] = struct{}{}
	}
	s.mu.Unlock()
	if late {
		_ = c.Close()
	}
	if ours := connOf(c); ours != nil && (state == http.StateActive || state == http.StateIdle) {
		ours.pool.use(ours, state == http.StateActive)
	}
}

// shutdown begins to end the fronts: requests have a grace. Connections that have never sent
// anything are closed at once, for http.Server.Shutdown would wait for them, and
// clients keep such connections in reserve.
func (s *Server) shutdown() {
	s.mu.Lock()
	s.closed = true
	fronts := s.fronts
	for c := range s.silent {
		_ = c.Close()
	}
	s.mu.Unlock()
	for _, f := range fronts {
		s.serving.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
			defer cancel()
			if f.server.Shutdown(ctx) != nil {
				_ = f.server.Close()
			}
		})
	}
}

// presentHandler writes to the logger of the present configuration.
type presentHandler struct{ s *Server }

func (h presentHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.s.state.Load().log.Enabled(ctx, l)
}

func (h presentHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.s.state.Load().log.Handler().Handle(ctx, r)
}
func (h presentHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h presentHandler) WithGroup(string) slog.Handler      { return h }
