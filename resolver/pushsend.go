package resolver

import (
	"math"
	"time"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// askLocked asks the server to tell about a name.
func (s *pushSession) askLocked(f *follow) {
	f.id = s.newIDLocked()
	frame, err := dso.AppendFollow(nil, f.id, f.e.name)
	if err != nil {
		return // no name gets here that canonicalName has not read
	}
	s.active[f.id] = f
	s.requestLocked(f.id, frame)
}

// unfollowLocked ends the telling about a name.
func (s *pushSession) unfollowLocked(f *follow) {
	if f.id == 0 {
		return // it was never asked for
	}
	delete(s.active, f.id)
	s.sendLocked(dso.AppendUnfollow(nil, f.id))
}

// newIDLocked returns a message id that is not in use. Ids are used in turn: what the server
// has sent about a name that was left must not be taken for another one.
func (s *pushSession) newIDLocked() uint16 {
	for {
		if s.lastID++; s.lastID == 0 {
			continue
		}
		_, asked := s.asked[s.lastID]
		if s.active[s.lastID] == nil && !asked {
			return s.lastID
		}
	}
}

// maxFollows bounds the names followed in one session, so that there is always an id. It is
// far above what a server allows.
const maxFollows = math.MaxUint16 / 2

func (s *pushSession) requestLocked(id uint16, frame []byte) {
	s.asked[id] = struct{}{}
	s.alive.asked(time.Now())
	s.sendLocked(frame)
}

// sendLocked hands a frame to the goroutine that writes, and starts it if there is none.
// What waits is bounded by the names that are followed and left.
func (s *pushSession) sendLocked(frame []byte) {
	if s.ended || !s.open {
		return
	}
	s.queue = append(s.queue, frame...)
	s.alive.moved = time.Now()
	s.conn.SetReadDeadline(s.alive.deadline()) // an error is met by the next read
	if !s.writing {
		s.writing = true
		s.writers.Go(s.write)
	}
}

// write writes frames until there are none.
func (s *pushSession) write() {
	for {
		s.r.mu.Lock()
		frames := s.queue
		s.queue = nil
		s.writing = len(frames) > 0
		s.r.mu.Unlock()
		if len(frames) == 0 {
			return
		}
		s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := s.conn.Write(frames); err != nil {
			s.cancel(err)
			return
		}
	}
}

// Tests: pushsession_test.go.
