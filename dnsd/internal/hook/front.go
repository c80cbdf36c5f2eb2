package hook

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxHeader bounds the header of a request: a token, a path, and room.
const maxHeader = 16 << 10

// shutdownGrace is how long requests may go on after the end was announced.
const shutdownGrace = 5 * time.Second

// front is one http.Server with its timeouts. These cannot change while it
// serves, so an Update with other ones puts a new front before the listener; the
// old one keeps its connections until their requests are done.
type front struct {
	server *http.Server
	header time.Duration
	idle   time.Duration
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	owner  *Server
}

// refrontLocked makes sure that the front has the timeouts of st.
func (s *Server) refrontLocked(st *state) {
	if s.front != nil && s.front.header == st.limits.HeaderTimeout && s.front.idle == st.limits.IdleTimeout {
		return
	}
	f := &front{
		header: st.limits.HeaderTimeout,
		idle:   st.limits.IdleTimeout,
		conns:  make(chan net.Conn),
		done:   make(chan struct{}),
		owner:  s,
	}
	f.server = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: f.header,
		IdleTimeout:       f.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(lateHandler{s}, slog.LevelDebug),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	s.fronts.Go(func() { _ = f.server.Serve(f) })
	if s.front != nil {
		s.front.retire()
	}
	s.front = f
}

// connKey finds the connection of a request in its context.
type connKey struct{}

// give hands a connection over; a front that was retired meanwhile closes it.
func (f *front) give(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.done:
		_ = c.Close()
	}
}

// retire takes no more connections and ends when those it has are done: idle ones
// at once, streams when they end. When the server stops all of them end.
func (f *front) retire() {
	f.once.Do(func() {
		close(f.done)
		f.owner.fronts.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			f.owner.fronts.Go(func() {
				select {
				case <-f.owner.life.Done():
				case <-ctx.Done():
					return
				}
				grace := time.NewTimer(shutdownGrace)
				defer grace.Stop()
				select {
				case <-grace.C:
					cancel()
				case <-ctx.Done():
				}
			})
			if f.server.Shutdown(ctx) != nil {
				_ = f.server.Close()
			}
		})
	})
}

// Accept, Close and Addr make a front the listener of its http.Server.

func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *front) Close() error   { return nil }
func (f *front) Addr() net.Addr { return f.owner.listener.Addr() }

// lateHandler writes to the logger of the moment.
type lateHandler struct{ s *Server }

func (h lateHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.s.state.Load().log.Enabled(ctx, l)
}

func (h lateHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.s.state.Load().log.Handler().Handle(ctx, r)
}
func (h lateHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h lateHandler) WithGroup(string) slog.Handler      { return h }
