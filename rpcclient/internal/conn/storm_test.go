package conn

import (
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// storm is a connection that fails once, in one of the ways there are: at a random
// operation, with all, part or none of the bytes out, at once or after a moment.
type storm struct {
	net.Conn

	closed chan struct{}

	mu       sync.Mutex // guards what follows
	rnd      *rand.Rand
	left     int // operations until it fails
	fault    int
	deadline time.Time // of writes
	shut     bool
}

// The faults of a storm.
const (
	writeNothing  = iota // a write fails, and nothing is out
	writeHalf            // a part is out
	writeAllFails        // all is out, but for the last byte
	readFails
	resets    // the connection is closed under both ends
	hangs     // a write goes nowhere until its deadline, or until the connection is closed
	halfClose // the server reads an end, and may still answer
	faults
)

func newStorm(nc net.Conn, rnd *rand.Rand) *storm {
	return &storm{Conn: nc, closed: make(chan struct{}), rnd: rnd, left: 2 + rnd.IntN(60), fault: rnd.IntN(faults)}
}

// slowError takes a moment to format, which delays what comes after it.
type slowError struct{ text string }

func (e slowError) Error() string {
	for range 20 {
		runtime.Gosched()
	}
	return e.text
}

var errStorm = slowError{"storm"}

// next says which fault an operation has, -1 for none.
func (s *storm) next(write bool) (fault, at int) {
	s.mu.Lock()
	jitter, d := s.rnd.IntN(8), time.Duration(s.rnd.IntN(200))*time.Microsecond
	s.mu.Unlock()
	switch jitter { // at each step
	case 0:
		time.Sleep(d)
	case 1:
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left > 0 || !write && s.fault != readFails && s.fault != resets || write && s.fault == readFails {
		return -1, 0
	}
	return s.fault, s.rnd.Int()
}

func (s *storm) Write(p []byte) (int, error) {
	fault, at := s.next(true)
	switch fault {
	case writeNothing:
		return 0, errStorm
	case writeHalf:
		n, _ := s.Conn.Write(p[:at%len(p)])
		return n, errStorm
	case writeAllFails:
		n, _ := s.Conn.Write(p[:len(p)-1])
		return n, errStorm
	case hangs:
		s.mu.Lock()
		wait := time.Until(s.deadline)
		s.mu.Unlock()
		select {
		case <-s.closed:
			return 0, net.ErrClosed
		case <-time.After(wait):
			return 0, os.ErrDeadlineExceeded
		}
	case resets:
		s.reset()
		return 0, errStorm
	case halfClose:
		if w, ok := s.Conn.(interface{ CloseWrite() error }); ok {
			w.CloseWrite()
		} else {
			s.Close()
		}
	}
	return s.Conn.Write(p)
}

func (s *storm) Read(p []byte) (int, error) {
	switch fault, _ := s.next(false); fault {
	case readFails:
		return 0, errStorm
	case resets:
		s.reset()
	}
	return s.Conn.Read(p)
}

// reset closes at once, as the death of a process does.
func (s *storm) reset() {
	if t, ok := s.Conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	s.Conn.Close()
}

func (s *storm) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return s.Conn.SetWriteDeadline(t)
}

func (s *storm) Close() error {
	s.mu.Lock()
	if !s.shut {
		s.shut = true
		close(s.closed)
	}
	s.mu.Unlock()
	return s.Conn.Close()
}
