package hook

import (
	"container/list"
	"context"
	"sync"
)

// listBytes bounds the memory of all long answers that are being sent: the present
// state of services, by GET and at the beginning of a watch.
const listBytes = 64 << 20

// listWaiters bounds who waits for room: each costs a goroutine.
const listWaiters = 1024

// budget is memory that requests take a part of for their time. One caller has at
// most half of it.
type budget struct {
	mu      sync.Mutex // guards all below
	most    int
	used    int
	callers map[caller]int // what each uses
	waiters list.List      // of *want, in order
}

// want waits for room.
type want struct {
	caller caller
	size   int
	ready  chan struct{} // closed when it has its part
}

func newBudget(most int) *budget { return &budget{most: most, callers: make(map[caller]int)} }

// take waits until there is room for size bytes, or for all if size is more, and
// gives what gives them back. False: there was none before ctx ended.
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
			b.serveLocked() // those behind it may be smaller
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

// serveLocked gives room to those who wait, in their order. Who has its share
// already does not keep others waiting.
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
