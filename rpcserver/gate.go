package rpcserver

import (
	"sync"
	"sync/atomic"
)

// gate counts against a limit: calls that run, of one connection or of all.
type gate struct {
	most    int64
	count   atomic.Int64
	waiting atomic.Int64

	mu     sync.Mutex // guards closed
	cond   sync.Cond
	closed bool
}

func (g *gate) init(most int) {
	g.most = int64(most)
	g.cond.L = &g.mu
}

// try enters if there is room, and none waits for it.
func (g *gate) try() bool {
	if g.waiting.Load() == 0 {
		if g.count.Add(1) <= g.most {
			return true
		}
		g.leave() // another goroutine may have begun to wait because it saw our count
	}
	return false
}

// enter waits for room. It is false if the gate was closed.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting.Add(1) // before the first try: leave looks at it after it has counted down
	defer g.waiting.Add(-1)
	for !g.closed {
		if g.count.Add(1) <= g.most {
			return true
		}
		g.count.Add(-1)
		g.cond.Wait()
	}
	return false
}

func (g *gate) leave() {
	g.count.Add(-1)
	if g.waiting.Load() > 0 {
		g.mu.Lock()
		g.cond.Signal()
		g.mu.Unlock()
	}
}

// close ends all waiting.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.cond.Broadcast()
	g.mu.Unlock()
}

// Tests: busy_test.go, limits_test.go.
