package hook

import (
	"container/list"
	"context"
	"sync"
)

// listBytes bounds the memory of all long answers that are being sent: lists, and the
// beginnings of watches.
const listBytes = 64 << 20

// listWaiters bounds the requests that wait for memory: each costs a goroutine.
const listWaiters = 1024

// budget is memory of which requests take a part while they run. One caller has at most
// half of it.
type budget struct {
	mu      sync.Mutex // guards all below
	most    int
	used    int
	callers map[caller]int // bytes in use by each
	waiters list.List      // of *want, in order
}

// want is a request that waits for memory.
type want struct {
	caller caller
	size   int
	ready  chan struct{} // closed when it has its memory
}

func newBudget(most int) *budget { return &budget{most: most, callers: make(map[caller]int)} }

// take waits until size bytes are free, or all of them if size is more, and returns a
// function that frees them. It returns false if ctx ended before.
func (b *budget) take(ctx context.Context, c caller, size int) (giveBack func(), ok bool) {
	w := &want{caller: c, size: min(size, b.most), ready: make(chan struct{})}
	b.mu.Lock()
	if b.waiters.Len() >= listWaiters {
		b.mu.Unlock()
		return nil, false
	}
	e := b.waiters.PushBack(w)
	b.serveLocked()
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		select {
		case <-w.ready: // at the same moment
		default:
			b.waiters.Remove(e)
			b.serveLocked() // the next ones may be smaller
			return nil, false
		}
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.backLocked(w)
	}, true
}

func (b *budget) backLocked(w *want) {
	b.used -= w.size
	if b.callers[w.caller] -= w.size; b.callers[w.caller] <= 0 {
		delete(b.callers, w.caller)
	}
	b.serveLocked()
}

// serveLocked gives memory to the waiting requests, in order. A caller that has its
// share already does not keep others waiting.
func (b *budget) serveLocked() {
	for e := b.waiters.Front(); e != nil; {
		w, next := e.Value.(*want), e.Next()
		if own := b.callers[w.caller]; own == 0 || own+w.size <= b.most/2 {
			if b.used+w.size > b.most {
				return
			}
			b.used += w.size
			b.callers[w.caller] += w.size
			b.waiters.Remove(e)
			close(w.ready)
		}
		e = next
	}
}

func (b *budget) inUse() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.used)
}
