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
// serves, so an Update with other ones, or that asks for other certificates, puts a
// new front before the listener. The old one closes each connection after its next answer, which says so; closing an
// idle one at once would lose the request that is just coming.
type front struct {
	server *http.Server
	header time.Duration
	idle   time.Duration
	access *access
	owner  *Server
	conns  chan net.Conn
	done   chan struct{} // closed: it takes no more
	empty  chan struct{} // closed: and has no more

	mu      sync.Mutex            // guards what follows
	open    int                   // connections, those on their way included
	silent  map[net.Conn]struct{} // those that have not sent a request yet
	retired bool
}

// refrontLocked makes sure that the front has the timeouts and the access of st.
func (s *Server) refrontLocked(st *state) {
	if f := s.front; f != nil && f.header == st.limits.HeaderTimeout && f.idle == st.limits.IdleTimeout && f.access == st.access {
		return
	}
	f := &front{
		header: st.limits.HeaderTimeout,
		idle:   st.limits.IdleTimeout,
		access: st.access,
		owner:  s,
		conns:  make(chan net.Conn),
		done:   make(chan struct{}),
		empty:  make(chan struct{}),
		silent: make(map[net.Conn]struct{}),
	}
	f.server = &http.Server{
		Handler:           http.HandlerFunc(f.serve),
		ReadHeaderTimeout: f.header,
		IdleTimeout:       f.idle,
		MaxHeaderBytes:    maxHeader,
		// OPTIONS * meets the same limits as all else.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(lateHandler{s}, slog.LevelDebug),
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:                    f.note,
	}
	s.fronts.Go(func() { _ = f.server.Serve(f) })
	s.fronts.Go(f.watch)
	if s.front != nil {
		s.front.retire()
	}
	s.front = f
}

// connKey finds the connection of a request in its context.
type connKey struct{}

func (f *front) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case <-f.done:
		w.Header().Set("Connection", "close")
	default:
	}
	f.owner.handler.ServeHTTP(w, r)
}

// give hands a connection over; false: the front was retired meanwhile.
func (f *front) give(c net.Conn) bool {
	f.mu.Lock()
	if f.retired {
		f.mu.Unlock()
		return false
	}
	f.open++
	f.mu.Unlock()
	select {
	case f.conns <- c:
		return true
	case <-f.done:
		f.left()
		return false
	}
}

// note follows a connection from state to state.
func (f *front) note(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	if state == http.StateNew {
		f.silent[c] = struct{}{}
	} else {
		delete(f.silent, c)
	}
	f.mu.Unlock()
	if ours := connOf(c); ours != nil && (state == http.StateActive || state == http.StateIdle) {
		ours.pool.use(ours, state == http.StateActive)
	}
	if state == http.StateClosed || state == http.StateHijacked {
		f.left()
	}
}

// hangUp closes what has never sent anything. Clients keep such connections in
// reserve, and Shutdown would wait its whole grace for them.
func (f *front) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.silent {
		_ = c.Close()
	}
}

// left counts a connection that ended.
func (f *front) left() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	f.checkLocked()
}

func (f *front) checkLocked() {
	if f.retired && f.open == 0 {
		select {
		case <-f.empty:
		default:
			close(f.empty)
		}
	}
}

// retire takes no more connections.
func (f *front) retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired {
		return
	}
	f.retired = true
	close(f.done)
	f.checkLocked()
}

// watch ends the front when it is retired and empty, or when the server ends:
// then requests have a grace.
func (f *front) watch() {
	select {
	case <-f.empty:
	case <-f.owner.life.Done():
		ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		f.hangUp()
		if f.server.Shutdown(ctx) == nil {
			return
		}
	}
	_ = f.server.Close()
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
