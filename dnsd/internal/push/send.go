package push

import (
	"time"
)

// mostOut is how many octets of answers wait for a client that does not read. The server
// then reads no further messages of it.
const mostOut = 32 << 10

// reply sends an answer, after those before it. It waits if too many of them wait.
func (s *session) reply(frame []byte) bool {
	buf := s.srv.bufs.Get().(*[]byte)
	s.mu.Lock()
	if s.state < leaving {
		s.out = append(s.out, frame...)
		s.flushLocked(buf, time.Now())
	}
	over := s.state == ended
	s.mu.Unlock()
	s.srv.bufs.Put(buf)
	s.awaitRoom()
	return !over
}

// awaitRoom waits while too many answers wait to be sent. The reader calls it after each
// answer, without a lock.
func (s *session) awaitRoom() {
	s.mu.Lock()
	var room chan struct{}
	if s.state < leaving && len(s.out) > mostOut {
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
			return
		}
		s.touchLocked(now)
		n := 0
		if s.raw != nil {
			var err error
			if n, err = writeNow(s.raw, *buf); err != nil {
				s.abortLocked(err.Error())
				return
			}
		}
		if n < len(*buf) {
			s.writing = true
			s.srv.wg.Add(1) // the reader has not ended, so this is above 0
			go s.write(append([]byte(nil), (*buf)[n:]...))
			return
		}
	}
}

// touchLocked notes that something was sent, which resets the keepalive timer (RFC 8490
// section 6.3). The time of a RetryDelay stays.
func (s *session) touchLocked(now time.Time) {
	if s.state < leaving {
		s.last = now
	}
}

// write sends rest, and goes on until there is nothing to send. It is the writer of the
// session.
func (s *session) write(rest []byte) {
	defer s.srv.wg.Done()
	buf := s.srv.bufs.Get().(*[]byte)
	defer s.srv.bufs.Put(buf)
	for {
		if len(rest) > 0 {
			s.conn.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := s.conn.Write(rest); err != nil {
				s.abort(err.Error())
				return
			}
		}
		s.mu.Lock()
		*buf = s.nextLocked((*buf)[:0])
		rest = *buf
		var late *subscription
		if len(rest) > 0 {
			s.touchLocked(time.Now())
		} else if late = s.lateLocked(); late == nil {
			// A write by flushLocked does not wait, but fails if the deadline has passed.
			s.conn.SetWriteDeadline(time.Time{})
			s.writing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if late != nil {
			late.topic.hub.catchUp(late)
		}
	}
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
	for _, sub := range s.subs {
		for sub.payload != nil {
			if len(b) > 0 && len(b)+sub.payload.size(sub.sent) > scratch {
				return b
			}
			b = sub.payload.append(b, sub.sent, sub.id)
			s.srv.stats.pushes.Add(1)
			if sub.sent++; sub.sent == sub.payload.len() {
				sub.payload, sub.sent = nil, 0
			}
		}
	}
	return b
}

// lateLocked returns a subscription that is behind the zone, or nil.
func (s *session) lateLocked() *subscription {
	if s.state >= leaving {
		return nil
	}
	for _, sub := range s.subs {
		if sub.behind != nil {
			return sub
		}
	}
	return nil
}

// dropLocked forgets all that is to be sent but answers.
func (s *session) dropLocked() {
	for _, sub := range s.subs {
		sub.payload, sub.sent, sub.behind = nil, 0, nil
	}
}

// freeLocked lets the reader go on.
func (s *session) freeLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// Tests: session_test.go, slow_test.go.
