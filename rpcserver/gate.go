package rpcserver

import (
	"sync"
	"sync/atomic"
)

// gate counts what is in it against a limit: calls that run, of one connection or of
// all.
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

// try enters if there is room, and nobody waits for it.
func (g *gate) try() bool {
	if g.waiting.Load() == 0 {
		if g.count.Add(1) <= g.most {
			return true
		}
		g.leave() // somebody may have begun to wait meanwhile, seeing us
	}
	return false
}

// enter waits for room; false: the gate was closed meanwhile.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting.Add(1) // before the first try: leave looks at it after counting down
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
