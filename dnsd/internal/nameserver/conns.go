package nameserver

import (
	"iter"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
)

// connTable holds the open connections and bounds their number.
type connTable struct {
	accepted, refused, slow atomic.Uint64

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]netip.Addr
	byAddr  map[netip.Addr]int // by limit.Client
	waiting map[net.Conn]bool  // those that may become sessions, which push counts
	closed  bool
}

// add enters c. false means that there is no room for it.
func (t *connTable) add(c net.Conn, from netip.Addr, l TCPLimits) bool {
	key := limit.Client(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.conns) >= l.Conns || t.byAddr[key] >= l.ConnsPerAddr {
		return false
	}
	if t.conns == nil {
		t.conns, t.byAddr = make(map[net.Conn]netip.Addr), make(map[netip.Addr]int)
	}
	t.conns[c] = key
	t.byAddr[key]++
	t.accepted.Add(1)
	return true
}

// wait enters c as one that may become a session. It does not count here.
func (t *connTable) wait(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.waiting == nil {
		t.waiting = make(map[net.Conn]bool)
	}
	t.waiting[c] = true
	return true
}

func (t *connTable) remove(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting[c] {
		delete(t.waiting, c)
		return
	}
	key := t.conns[c]
	delete(t.conns, c)
	if t.byAddr[key]--; t.byAddr[key] <= 0 {
		delete(t.byAddr, key)
	}
}

func (t *connTable) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// idle is how long a connection may wait for a query: less when there are many, so
// that connections without queries make room for others (RFC 7766 6.2.3).
func (t *connTable) idle(l TCPLimits) time.Duration {
	t.mu.Lock()
	n := len(t.conns)
	t.mu.Unlock()
	switch {
	case n*10 >= l.Conns*9:
		return l.Idle / 20
	case n*2 >= l.Conns:
		return l.Idle / 4
	default:
		return l.Idle
	}
}

// drain refuses further connections and wakes those that wait for a query. A write
// that has begun may end.
func (t *connTable) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for c := range t.allLocked() {
		c.SetReadDeadline(time.Unix(1, 0))
	}
}

// close ends all connections at once.
func (t *connTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for c := range t.allLocked() {
		c.Close()
	}
}

// allLocked are the connections in the table.
func (t *connTable) allLocked() iter.Seq[net.Conn] {
	return func(yield func(net.Conn) bool) {
		for c := range t.conns {
			if !yield(c) {
				return
			}
		}
		for c := range t.waiting {
			if !yield(c) {
				return
			}
		}
	}
}

// Tests: server_test.go, tcp_test.go.
