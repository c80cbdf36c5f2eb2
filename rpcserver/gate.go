package rpcserver

import (
	"sync"
	"sync/atomic"
)

// gate counts calls of all connections against one limit.
type gate struct {
	most    int64
	count   atomic.Int64
	waiting atomic.Int64

	mu     sync.Mutex // guards closed
	cond   sync.Cond
	closed bool
}

// enter waits for room; false: the gate was closed meanwhile.
func (g *gate) enter() bool {
	if g.count.Add(1) <= g.most {
		return true
	}
	g.count.Add(-1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting.Add(1) // before the next try: leave looks at it after counting down
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

// close lets nobody wait any more.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.cond.Broadcast()
	g.mu.Unlock()
}
