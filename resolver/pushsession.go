package resolver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

const (
	// patience is how long a client waits for a response within a session (RFC 8490 section
	// 5.1.1).
	patience = 30 * time.Second
	// writeTimeout bounds one write. All that is written at once fits into the buffer of a
	// socket, so a write waits only if the server has stopped reading.
	writeTimeout = 10 * time.Second
)

// pushSession is a DSO session (RFC 8490) with one server, in which all names of a Resolver
// that this server tells about are followed. One goroutine dials and reads. Another one
// writes while there is something to write.
type pushSession struct {
	r      *Resolver
	server *pushServer
	cancel context.CancelCauseFunc
	done   chan struct{}
	reader *bufio.Reader // its buffer holds one message of any size

	// Only the reader uses these.
	declined int // requests of the server
	pace     pace

	// Resolver.mu guards what follows.
	conn    net.Conn            // nil: not there yet
	open    bool                // the server has accepted the session
	ended   bool                // nothing is sent any more
	follows map[*follow]bool    // all of them
	active  map[uint16]*follow  // those that the server knows, by message id
	asked   map[uint16]struct{} // the requests without a response
	lastID  uint16
	queue   []byte // frames to write
	writing bool   // a goroutine writes them
	alive   alive
	writers sync.WaitGroup
}

// protocolError is a mistake of the server. Its session is aborted (RFC 8490 section 5.3),
// and no other one is begun for an hour.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return "the server broke the protocol: " + e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// unsupportedError is a server that does not know DSO, or not this use of it.
type unsupportedError struct{ rcode int }

func (e *unsupportedError) Error() string {
	return "the server does not know FOLLOW: it answered " + dns.RcodeToString[e.rcode]
}

// delayError is a server that wants to be left alone for a time.
type delayError struct {
	delay time.Duration
	rcode int
}

func (e *delayError) Error() string {
	return fmt.Sprintf("the server ends the session (%s) and wants no other one for %v", dns.RcodeToString[e.rcode], e.delay)
}

var (
	errLeft       = errors.New("no name is followed in it any more")
	errUnanswered = fmt.Errorf("no response within %v, or not a word within %v of a KeepAlive", patience, probePatience)
	errWrongID    = errors.New("a response to no request")
	errDeaf       = errors.New("it did not tell what the server answers by DNS")
	errSuspended  = errors.New("the machine was suspended")
)

// run is the life of the session.
func (s *pushSession) run(ctx context.Context) {
	defer close(s.done)
	err := s.serve(ctx, s.r.timeout())
	s.r.mu.Lock()
	s.endLocked(err)
	s.r.mu.Unlock()
	s.writers.Wait()
}

// serve dials and reads until the session is over.
func (s *pushSession) serve(ctx context.Context, timeout time.Duration) error {
	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begin := time.Now()
	conn, err := s.r.dialWith(dialCtx, "tcp", s.server.address, s.server.tls)
	if err != nil {
		return s.why(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	keepSocketAlive(conn)
	s.reader = bufio.NewReaderSize(conn, 2+dso.MaxPush)
	if err := s.establish(conn, begin.Add(timeout)); err != nil {
		abort(conn, err)
		return s.why(ctx, err)
	}
	for {
		msg, err := s.next(conn)
		if err == nil {
			err = s.take(msg)
		}
		if err != nil {
			abort(conn, err)
			return s.why(ctx, err)
		}
		s.slowDown(len(msg))
	}
}

// why is the reason for the end: that of this end, if it ended the session.
func (s *pushSession) why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// abort makes closing the connection a reset if the error is one of the protocol (RFC 8490
// section 5.3.1).
func abort(conn net.Conn, err error) {
	if !errors.As(err, new(*protocolError)) {
		return
	}
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
		tcp.Close()
	}
}

// establish begins the session by a KeepAlive: a request that is harmless at a server that
// does not know DSO, and that has to be made anyway, since a session without it needs a
// message every 15 seconds (RFC 8490 sections 5.1 and 6.2).
func (s *pushSession) establish(conn net.Conn, deadline time.Time) error {
	const id = 1
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(keepAlive(id)); err != nil {
		return err
	}
	msg, err := s.read()
	if err != nil {
		return err
	}
	m, err := dso.Read(msg, dso.FromServer)
	switch {
	case len(msg) >= headerSize && m.Response && m.ID == id && m.Rcode != dns.RcodeSuccess:
		// Also from a server that does not know DSO, whatever else is in its message.
		if delay, ok, err := m.RetryDelay(); ok && err == nil {
			return &delayError{min(delay, longestRefusal), m.Rcode} // RFC 8490 section 7.2.2
		}
		return &unsupportedError{m.Rcode}
	case err != nil:
		return &protocolError{err}
	case !m.Response || m.ID != id:
		return &protocolError{errWrongID}
	}
	k, err := m.KeepAlive()
	if err != nil {
		return &protocolError{err}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.conn, s.open, s.lastID = conn, true, id
	s.alive.begin(time.Now(), k.Interval, s.r.randomLocked())
	s.server.opened()
	for f := range s.follows {
		s.askLocked(f)
	}
	return nil
}

// read returns the next message, which is valid until the next read. After a time-out it can
// be called again: nothing is lost.
func (s *pushSession) read() ([]byte, error) {
	head, err := s.reader.Peek(2)
	if err != nil {
		return nil, err
	}
	size := 2 + int(binary.BigEndian.Uint16(head))
	if size > s.reader.Size() {
		return nil, &protocolError{fmt.Errorf("a message of %d octets", size-2)}
	}
	frame, err := s.reader.Peek(size)
	if err != nil {
		return nil, err
	}
	s.reader.Discard(size)
	return frame[2:], nil
}

// take does what a message says.
func (s *pushSession) take(msg []byte) error {
	m, err := dso.Read(msg, dso.FromServer)
	switch {
	case err != nil && m.Request() && !dso.Fatal(err):
		return s.decline(m.ID, err)
	case err != nil:
		return &protocolError{err}
	case m.Response:
		return s.answered(m)
	case m.Primary.Type == dso.TypeSet:
		return s.set(m)
	case m.Primary.Type == dso.TypeKeepAlive:
		return s.kept(m)
	case m.Primary.Type == dso.TypeRetryDelay:
		delay, _, err := m.RetryDelay()
		if err != nil {
			return &protocolError{err}
		}
		return &delayError{delay, m.Rcode} // the whole time: RFC 8490 section 6.6.3
	}
	return &protocolError{m.Unimplemented()}
}

// maxDeclined bounds the requests of a server that are answered. There are none yet that a
// server may make, and a later one that tries some gives up sooner.
const maxDeclined = 16

// decline answers a request of the server that this client does not know (RFC 8490 section
// 5.4.5) or cannot read (section 5.5.3). The session goes on.
func (s *pushSession) decline(id uint16, why error) error {
	if s.declined++; s.declined > maxDeclined {
		return &protocolError{fmt.Errorf("more than %d requests: %w", maxDeclined, why)}
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.sendLocked(dso.AppendResponse(nil, id, dso.Rcode(why)))
	return nil
}

// kept takes the times of a KeepAlive.
func (s *pushSession) kept(m dso.Message) error {
	k, err := m.KeepAlive()
	if err != nil {
		return &protocolError{err}
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.alive.interval = k.Interval
	return nil
}

// answered takes a response.
func (s *pushSession) answered(m dso.Message) error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if _, ok := s.asked[m.ID]; !ok {
		return &protocolError{errWrongID} // RFC 8490 section 5.5.2
	}
	delete(s.asked, m.ID)
	s.alive.answered(time.Now(), m.ID, len(s.asked), s.r.randomLocked())
	f := s.active[m.ID]
	switch {
	case f == nil && m.Primary.Type == dso.TypeKeepAlive && m.Rcode == dns.RcodeSuccess:
		k, err := m.KeepAlive()
		if err != nil {
			return &protocolError{err}
		}
		s.alive.interval = k.Interval
		return nil
	case f == nil: // it was left before its response came
		return nil
	case m.Rcode == dns.RcodeSuccess:
		if err := m.Followed(); err != nil {
			return &protocolError{err}
		}
		f.accepted = true
		return nil
	case m.Rcode == dns.RcodeStatefulTypeNotImplemented, m.Rcode == dns.RcodeNotImplemented, m.Rcode == dns.RcodeFormatError:
		return &unsupportedError{m.Rcode}
	}
	delay, ok, err := m.RetryDelay()
	if err != nil {
		return &protocolError{err}
	}
	if !ok {
		delay = dso.DefaultRetryDelay(m.Rcode)
	}
	s.r.logLocked(slog.LevelDebug, "resolver: the server does not tell about a name", "name", f.e.name, "server", s.server.address, "rcode", dns.RcodeToString[m.Rcode], "retry", delay)
	delete(s.active, m.ID)
	s.r.refusedLocked(f, min(max(delay, leastDelay), longestRefusal)) // RFC 8490 section 7.2.2
	return nil
}

// set takes a SET.
func (s *pushSession) set(m dso.Message) error {
	change, err := m.Set()
	if err != nil {
		return &protocolError{err}
	}
	s.r.mu.Lock()
	f := s.active[change.ID]
	s.r.mu.Unlock()
	switch {
	case f == nil:
		return nil // it was left before the server knew
	case !f.accepted:
		return &protocolError{errWrongID}
	}
	complete, err := f.set.add(change)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	switch {
	case f.e.push.follow != f: // left at this moment
	case errors.Is(err, errSetTooLarge):
		s.r.logLocked(slog.LevelWarn, "resolver: a set is too large to be followed; it is kept fresh by its TTL", "name", f.e.name, "server", s.server.address, "error", err)
		s.unfollowLocked(f)
		s.r.refusedLocked(f, unsupportedFor)
	case err != nil:
		return &protocolError{err}
	case complete:
		s.r.toldLocked(f, change.Revision, change.Flags&dso.Stale != 0)
	default: // the rest may never come, and then the TTL rules from now on
		f.e.vouchedUntilNow(s.r, f)
	}
	return nil
}

// Tests: pushsession_test.go, pushscript_test.go, pushjudge_test.go, pushtorture_test.go.
