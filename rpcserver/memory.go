package rpcserver

import (
	"net"
	"sync"
	"sync/atomic"
)

// waitingCall is how many bytes a call that waits for its turn counts, at least: a
// goroutine, and room for argument and reply.
const waitingCall = 4 << 10

// memory counts the bytes of requests that are being read, wait or run, of all
// connections, against a limit. Small requests that need not wait are not counted:
// there are not too many of them.
//
// When requests that are only half read have taken everything, one of them at a time may
// go beyond the limit: else all would wait for each other.
type memory struct {
	most    int64
	used    atomic.Int64
	waiting atomic.Int64

	mu     sync.Mutex // guards beyond
	cond   sync.Cond
	beyond bool // a request is beyond the limit
}

// charge is how much one request counts.
type charge struct {
	bytes  int64
	beyond bool
}

func (m *memory) init(most int) {
	m.most = int64(most)
	m.cond.L = &m.mu
}

// take counts c for n bytes in all, when the limit leaves room. If it has to wait, it calls
// wait before, and the function that wait returned afterwards. over ends the wait.
func (m *memory) take(c *charge, n int, wait func() func(), over func() bool) error {
	more := int64(n) - c.bytes
	if more <= 0 {
		return nil
	}
	if m.waiting.Load() == 0 && m.try(c, more) {
		return nil
	}
	defer wait()()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting.Add(1) // before the next try: give looks at it after it has counted down
	defer m.waiting.Add(-1)
	for !over() {
		if m.try(c, more) {
			return nil
		}
		if !m.beyond || c.beyond {
			m.beyond, c.beyond = true, true
			m.used.Add(more)
			c.bytes += more
			return nil
		}
		m.cond.Wait()
	}
	return net.ErrClosed
}

func (m *memory) try(c *charge, more int64) bool {
	if m.used.Add(more) <= m.most {
		c.bytes += more
		return true
	}
	m.used.Add(-more)
	return false
}

// give counts c out.
func (m *memory) give(c *charge) {
	if c.bytes == 0 {
		return
	}
	m.used.Add(-c.bytes)
	if c.beyond {
		m.mu.Lock()
		m.beyond = false
		m.mu.Unlock()
	}
	*c = charge{}
	if m.waiting.Load() > 0 {
		m.wake()
	}
}

// wake makes goroutines that wait look again.
func (m *memory) wake() {
	m.mu.Lock()
	m.cond.Broadcast()
	m.mu.Unlock()
}

// Tests: busy_test.go, hostile_linux_test.go.
