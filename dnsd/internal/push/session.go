package push

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

const (
	// A KeepAlive tells the client that it may have a session without a subscription for
	// 15 s (RFC 8490 section 6.4), as much as before it asked.
	inactivity = dso.DefaultTimeout
	// The keepalive interval is 60 min (RFC 8490 section 6.5.2), and for each session a
	// little different, so that the clients of a server that has started do not send all at
	// once for ever. The kernel finds peers that are gone: see settle.
	leastInterval, mostInterval = 50 * time.Minute, 70 * time.Minute
	// patience is how many times such a time has to pass until the server ends the session
	// (RFC 8490 sections 6.4.1 and 6.5.1).
	patience = 2
	// leaveTime is how long a client may take to close after a RetryDelay (RFC 8490
	// section 6.6.1).
	leaveTime = 5 * time.Second
	// writeTime is how long a client may take to read what one write sends: as in package
	// nameserver.
	writeTime = 10 * time.Second
	// messageTime is how long a message may take from its first octet to its last.
	messageTime = 10 * time.Second
	// mostMessage is the longest message over TCP, with its length.
	mostMessage = 2 + 1<<16 - 1
)

// probes are those of TCP, of connections on which nothing is sent.
var probes = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// state is where a session is in its life. It only grows.
type state uint8

const (
	fresh       state = iota // no request of the client has succeeded: RFC 8490 section 5.1
	established              // the server may send on its own
	leaving                  // a RetryDelay was sent, and nothing may be sent after it
	ended                    // the connection is closed
)

// session is one client. Its reader is the only goroutine that it has while nothing is
// written, and waits in Wire.await.
type session struct {
	srv  *Server
	conn net.Conn // wire, or TLS over it
	wire *Wire
	from netip.Addr
	tls  bool
	// since is when it began, in seconds since 1970. It has 32 bits, for which there is room
	// between the fields: there may be a million sessions.
	since uint32

	holder *holder // set by Server.enter

	// The reader's own.
	in       []byte        // what was read and is not whole
	begun    time.Time     // when the message began that is not whole; zero: there is none
	counted  int           // octets of in that Server.count was told of
	small    [64]byte      // in, unless a longer message comes
	told     int           // messages while fresh
	interval time.Duration // between messages of the client
	active   time.Time     // when the client sent something but a KeepAlive
	sent     tally         // whole sets

	mu      sync.Mutex // guards what follows. Held alone, or after that of one hub
	state   state
	writing bool            // a goroutine writes; otherwise nothing waits to be sent
	last    time.Time       // when a message came or was sent
	out     []byte          // answers that wait for the writer
	room    chan struct{}   // the reader waits for it, because out is full; nil: it does not
	orphans []orphan        // what is to be sent before all else
	subs    []*subscription // in the order of their beginning; only the reader changes it
	turn    int             // where lateLocked begins to look for one that is behind
}

// orphan is changes of a subscription that has gone, as far as others have left them to it.
type orphan struct {
	payload *payload
	sent    int
}

func newSession(srv *Server, c Conn) *session {
	now := time.Now()
	s := &session{srv: srv, conn: c.Conn, wire: c.Wire, from: c.From, tls: c.TLS, since: uint32(now.Unix()), interval: dso.DefaultTimeout, active: now, last: now}
	if s.wire == nil {
		s.wire = NewWire(c.Conn)
		s.conn = s.wire
	}
	s.in = s.small[:0]
	return s
}

// begin handles what came before the session was made, and reads on.
func (s *session) begin(buffered []byte) {
	s.conn.SetWriteDeadline(time.Time{}) // that of the last answer
	settle(s.wire.Conn)
	s.in = buffered
	if s.messages() {
		s.readOn() // TLS may have more that was read from the wire
		return
	}
	s.end()
}

// read waits for the client, and handles what has come. It goes on in another goroutine, so
// that an idle client costs the smallest stack there is, and not one that has grown.
func (s *session) read() {
	s.wire.await()
	s.readOn()
}

// readOn handles what has come, and lets another goroutine wait for more.
func (s *session) readOn() {
	for {
		n, err := s.conn.Read(s.in[len(s.in):cap(s.in)])
		s.in = s.in[:len(s.in)+n]
		s.carry()
		switch {
		case n > 0:
			if !s.messages() {
				s.end()
				return
			}
			if !s.inTime() { // a read that need not wait knows no deadline
				s.abort("the client sends without a pause, and its time is over")
				s.end()
				return
			}
		case errors.Is(err, os.ErrDeadlineExceeded): // there is no more, or the time is over
			s.pause()
			if s.extend() {
				go s.read()
				return
			}
			s.abort("the client was silent for too long, or a message took too long")
			s.end()
			return
		case err != nil:
			s.end()
			return
		}
	}
}

// inTime tells whether the session may go on.
func (s *session) inTime() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.dueLocked())
}

// pause gives buffers back when there is no more to read for now. What package tls has not
// finished has as much time as a message that is not whole.
func (s *session) pause() {
	switch partial := trim(s.conn); {
	case partial && s.begun.IsZero():
		s.begun = time.Now()
	case !partial && len(s.in) == 0:
		s.begun = time.Time{}
	}
}

// extend sets the read deadline to when the client will have been silent for too long. It
// returns false if it was.
func (s *session) extend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.dueLocked()
	if !s.begun.IsZero() {
		if whole := s.begun.Add(messageTime); whole.Before(due) {
			due = whole
		}
	}
	if !time.Now().Before(due) {
		return false
	}
	s.conn.SetReadDeadline(due) // with mu, so that it does not undo that of leave
	return true
}

// dueLocked returns when the server ends the session, unless it hears of the client.
func (s *session) dueLocked() time.Time {
	if s.state >= leaving {
		return s.last.Add(leaveTime)
	}
	// Any message resets the keepalive timer, all but KeepAlive reset the other one, which
	// does not run during a subscription (RFC 8490 section 6.3).
	due := s.last.Add(patience * s.interval)
	if idle := s.active.Add(patience * inactivity); len(s.subs) == 0 && idle.Before(due) {
		due = idle
	}
	return due
}

// messages handles all whole messages that have come, and keeps the rest. false means that
// the session is over.
func (s *session) messages() bool {
	rest := s.in
	for len(rest) >= 2 {
		size := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+size {
			break
		}
		s.begun = time.Time{}
		if !s.message(rest[2 : 2+size]) {
			return false
		}
		rest = rest[2+size:]
	}
	if !s.keep(rest) {
		s.abort("too many long messages are not whole")
		return false
	}
	return true
}

// keep makes rest the content of in, with room for more. The room for a long message grows
// as its octets come, and is given back after it. false means that clients have too much of
// it.
func (s *session) keep(rest []byte) bool {
	switch {
	case len(rest) == 0:
		s.begun = time.Time{}
	case s.begun.IsZero():
		s.begun = time.Now()
	}
	if len(rest) < len(s.small) {
		var hold [len(s.small)]byte // rest may lie in small
		n := copy(hold[:], rest)
		s.in = append(s.small[:0], hold[:n]...)
		return s.count(0)
	}
	size := cap(s.in)
	if len(rest) == size || size == len(s.small) || size > max(4*len(rest), freePart) {
		size = min(max(2*len(rest), freePart), mostMessage)
	}
	if !s.count(size) {
		return false
	}
	if size == cap(s.in) {
		s.in = s.in[:copy(s.in, rest)]
	} else {
		s.in = append(make([]byte, 0, size), rest...)
	}
	return true
}

// count lets the server know the size of in, unless it is small.
func (s *session) count(size int) bool {
	if size <= freePart {
		size = 0
	}
	if size == s.counted {
		return true
	}
	if !s.srv.count(s.holder, int64(size-s.counted)) {
		return false
	}
	s.counted = size
	return true
}

// end gives back what the session holds. Only the reader calls it, at its end.
func (s *session) end() {
	s.mu.Lock()
	s.finishLocked()
	s.mu.Unlock()
	s.conn.Close()
	for len(s.subs) > 0 {
		s.subs[0].topic.hub.remove(s.subs[0])
	}
	s.count(0)
	s.srv.leave(s)
}

// finishLocked is the end of all that is to be sent.
func (s *session) finishLocked() {
	s.state = ended
	s.dropLocked()
	s.freeLocked()
}

// abort ends the session with a reset, so that the client sees that it was not meant to end
// (RFC 8490 section 5.3). The reader wakes and gives back what it holds.
func (s *session) abort(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abortLocked(why)
}

func (s *session) abortLocked(why string) {
	if s.state == ended {
		return
	}
	s.finishLocked()
	s.srv.stats.aborted.Add(1)
	s.srv.config.Load().Logger.Debug("push: session aborted", "client", s.from, "reason", why)
	if t, ok := s.wire.Conn.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	s.wire.Close()
}

// within tells whether the session has a subscription in one of the zones.
func (s *session) within(hubs map[string]*hub) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.subs, func(sub *subscription) bool { return hubs[sub.topic.hub.origin] != nil })
}

// newInterval draws the keepalive interval of a session.
func newInterval() time.Duration {
	return leastInterval + rand.N(mostInterval-leastInterval).Truncate(time.Second)
}
