package push

import (
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

const (
	// Clients come back a second after a stop, and then one after the other within
	// spreadTime, so that they do not all begin at once (RFC 8490 section 6.6.1.1).
	comeBack   = time.Second
	spreadTime = 10 * time.Second
	mostSpread = time.Millisecond // between two clients
)

// Drain tells all clients to come back later, and takes no further sessions: the server
// stops. Wait and Close are the rest of its end.
func (s *Server) Drain() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.drain(s.all(), dns.RcodeSuccess, comeBack)
}

// drain ends sessions with a RetryDelay of so much, or a little more. The RCODE is the reason.
// A session that is not established is closed, because nothing may be sent on it.
func (s *Server) drain(sessions []*session, reason int, delay time.Duration) {
	step := min(spreadTime/time.Duration(max(len(sessions), 1)), mostSpread)
	for i, ses := range sessions {
		ses.leave(reason, delay+time.Duration(i)*step)
	}
}

// leave sends a RetryDelay, and nothing after it. The client has leaveTime to close.
func (s *session) leave(reason int, delay time.Duration) {
	buf := s.srv.buffer()
	defer s.srv.release(buf)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case fresh:
		s.finishLocked()
		s.wire.Close()
	case established:
		now := time.Now()
		s.state, s.last = leaving, now
		s.dropLocked()
		s.out = dso.AppendRetryDelay(s.out, reason, delay)
		s.flushLocked(buf, now)
		s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader, which sets the one for leaveTime
	}
}

// Tests: server_test.go.
