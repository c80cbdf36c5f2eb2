package push

import (
	"slices"
	"time"
)

// mostOut is how many octets of answers wait for a client that does not read. The server
// then reads no further messages of it.
const mostOut = 32 << 10

// reply sends an answer, after those before it. It waits if too many of them wait.
func (s *session) reply(frame []byte) bool {
	on := s.answer(frame)
	s.awaitRoom()
	return on
}

func (s *session) answer(frame []byte) bool {
	buf := s.srv.buffer()
	defer s.srv.release(buf)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < leaving {
		s.out = append(s.out, frame...)
		s.flushLocked(buf, time.Now())
	}
	return s.state != ended
}

// mostKept is the largest buffer that goes back to the pool: one for answers may have grown
// to several times of what pushes need.
const mostKept = 2 * scratch

// buffer returns an empty buffer, for release.
func (s *Server) buffer() *[]byte { return s.bufs.Get().(*[]byte) }

func (s *Server) release(buf *[]byte) {
	if cap(*buf) <= mostKept {
		*buf = (*buf)[:0]
		s.bufs.Put(buf)
	}
}

// awaitRoom waits while too many answers wait to be sent, or those of TLS. The reader calls it
// after each answer, without a lock.
func (s *session) awaitRoom() {
	s.mu.Lock()
	var room chan struct{}
	if s.state < leaving && (len(s.out) > mostOut || s.writing && s.wire.left() > mostOut) {
		room = make(chan struct{})
		s.room = room
	}
	s.mu.Unlock()
	if room != nil {
		<-room // the writer has a deadline
	}
}

// flushLocked sends what there is to send, unless a writer does it already. What the system
// does not take at once is left to a writer.
func (s *session) flushLocked(buf *[]byte, now time.Time) {
	for !s.writing && s.state != ended {
		*buf = s.nextLocked((*buf)[:0])
		if len(*buf) == 0 {
			if s.lateLocked() != nil { // what was sent was made before the last change
				s.startLocked()
			}
			return
		}
		s.touchLocked(now)
		if _, err := s.conn.Write(*buf); err != nil {
			s.abortLocked(err.Error())
			return
		}
		if s.wire.left() > 0 {
			s.startLocked()
			return
		}
	}
}

// startLocked starts the writer.
func (s *session) startLocked() {
	s.writing = true
	s.srv.wg.Add(1) // the reader has not ended, so this is above 0
	go s.write()
}

// carry starts the writer for what TLS has written while the reader read. The reader goes on
// when there is not too much of it: a client may let TLS answer, and read nothing.
func (s *session) carry() {
	if s.wire.left() == 0 {
		return
	}
	s.mu.Lock()
	if !s.writing && s.state != ended {
		s.startLocked()
	}
	s.mu.Unlock()
	s.awaitRoom()
}

// touchLocked notes that something was sent, which resets the keepalive timer (RFC 8490
// section 6.3). The time of a RetryDelay stays.
func (s *session) touchLocked(now time.Time) {
	if s.state < leaving {
		s.last = now
	}
}

// write sends what the system did not take at once, and goes on until there is nothing to send.
// It is the writer of the session. A panic costs the session.
func (s *session) write() {
	defer s.srv.wg.Done()
	defer func() {
		if p := recover(); p != nil {
			s.srv.panicked(p, "client", s.from)
			s.abort("a panic")
		}
	}()
	for {
		if err := s.wire.drain(); err != nil {
			s.abort(err.Error())
			return
		}
		more, late := s.next()
		if late != nil {
			late.topic.hub.catchUp(late)
		} else if !more {
			return
		}
	}
}

// next writes what is to be sent next, or returns the subscription that is behind if there is
// nothing else. If it does neither, the session has no writer any more.
func (s *session) next() (more bool, late *subscription) {
	buf := s.srv.buffer()
	defer s.srv.release(buf)
	s.mu.Lock()
	defer s.mu.Unlock()
	*buf = s.nextLocked((*buf)[:0])
	if len(*buf) > 0 {
		s.touchLocked(time.Now())
		if _, err := s.conn.Write(*buf); err != nil {
			s.abortLocked(err.Error())
		}
		return s.state != ended, nil
	}
	if s.wire.left() > 0 { // TLS has written since
		return true, nil
	}
	late = s.lateLocked()
	s.writing = late != nil
	s.turn = slices.Index(s.subs, late) + 1
	return false, late
}

// nextLocked appends what is to be sent next: the answers, then messages of subscriptions
// as far as they fit. It is empty if there is nothing.
func (s *session) nextLocked(b []byte) []byte {
	if s.state == ended {
		return b
	}
	b = append(b, s.out...)
	s.out = nil
	s.freeLocked()
	for len(s.orphans) > 0 {
		o := &s.orphans[0]
		if len(b) > 0 && len(b)+o.payload.size(o.sent) > scratch {
			return b
		}
		b = o.payload.append(b, o.sent, 0)
		s.srv.stats.pushes.Add(1)
		if o.sent++; o.sent == o.payload.len() {
			s.srv.held.release(o.payload, s)
			s.orphans = s.orphans[1:]
		}
	}
	for _, sub := range s.subs {
		for sub.payload != nil {
			if len(b) > 0 && len(b)+sub.payload.size(sub.sent) > scratch {
				return b
			}
			b = sub.payload.append(b, sub.sent, sub.id)
			s.srv.stats.pushes.Add(1)
			if sub.sent++; sub.sent == sub.payload.len() {
				sub.doneLocked()
			}
		}
	}
	return b
}

// lateLocked returns a subscription that is behind the zone, or nil: one that covers others
// before these. They have turns: one whose records change all the time must not keep a client
// that reads slowly from the changes of others.
func (s *session) lateLocked() *subscription {
	if s.state >= leaving {
		return nil
	}
	for i := range s.subs {
		sub := s.subs[(s.turn+i)%len(s.subs)]
		if sub.fromLocked() != nil && !slices.ContainsFunc(s.subs, sub.leavesToLocked) {
			return sub
		}
	}
	return nil
}

// dropLocked forgets all that is to be sent but answers.
func (s *session) dropLocked() {
	for _, sub := range s.subs {
		sub.doneLocked()
		sub.behind = nil
	}
	for _, o := range s.orphans {
		s.srv.held.release(o.payload, s)
	}
	s.orphans = nil
}

// freeLocked lets the reader go on.
func (s *session) freeLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// Tests: session_test.go, slow_test.go.
