package command

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// A sink takes log lines and never waits for their reader: a full pipe, a stopped
// collector or a slow disk must not stop the server. A line that finds no room, or
// cannot be written, is dropped and counted. Make it with newSink; it is safe for
// concurrent use.
type sink struct {
	out  io.Writer
	room int // octets that may wait

	mu      sync.Mutex // guards all below
	more    sync.Cond  // signalled when a line comes, or at the end
	waiting []byte     // whole lines
	lost    uint64     // lines, since the last report
	dropped uint64     // lines, in all
	ended   bool
	done    chan struct{} // closed when all lines are written after the end
	report  func(lost uint64)
}

// sinkRoom holds some 4,000 lines: a burst while the reader is away for a moment.
const sinkRoom = 1 << 20

// newSink starts the sink's writer. When lines were lost and there is room again, the
// writer calls report, which may write to the sink. Nil: there are no reports.
func newSink(out io.Writer, room int, report func(lost uint64)) *sink {
	s := &sink{out: out, room: room, done: make(chan struct{}), report: report}
	s.more.L = &s.mu
	go s.run()
	return s
}

// Write takes one line, whole, or drops it. It never fails and keeps nothing of p.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.waiting)+len(p) > s.room {
		s.lost++
		s.dropped++
		return len(p), nil
	}
	s.waiting = append(s.waiting, p...)
	s.more.Signal()
	return len(p), nil
}

// run writes the lines that wait, until the end.
func (s *sink) run() {
	defer close(s.done)
	var spare []byte
	torn := false // the last write ended within a line
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.waiting) == 0 && !s.ended {
			s.more.Wait()
		}
		if len(s.waiting) == 0 {
			return
		}
		lines := s.waiting
		s.waiting = spare[:0]
		s.mu.Unlock()
		n, err := 0, error(nil)
		if torn {
			_, err = s.out.Write([]byte("\n"))
		}
		if err == nil {
			n, err = s.out.Write(lines)
		}
		s.mu.Lock()
		if n > 0 {
			torn = lines[n-1] != '\n'
		}
		if err != nil { // a full disk, a pipe without a reader: the rest of the lines is lost
			lost := uint64(bytes.Count(lines[n:], []byte("\n")))
			s.lost += lost
			s.dropped += lost
		}
		spare = lines
		if lost := s.lost; lost > 0 && err == nil && s.report != nil && len(s.waiting) < s.room/2 {
			s.lost = 0
			s.mu.Unlock()
			s.report(lost)
			s.mu.Lock()
		}
	}
}

// Dropped returns how many lines were dropped so far.
func (s *sink) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Sync is for zap: there is nothing to wait for.
func (s *sink) Sync() error { return nil }

// Close waits until everything is written, but no longer than patience: the reader may
// be gone for good. Later lines are dropped.
func (s *sink) Close(patience time.Duration) {
	s.mu.Lock()
	s.ended = true
	s.more.Signal()
	s.mu.Unlock()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-s.done:
	case <-timeout.C:
	}
}
