package rpcclient

import (
	"sync"
	"time"
)

// budget bounds what retries and hedges add to the load: a share of the calls of
// the last ten seconds, and a few a second besides, for services with few calls.
// When everything fails, the servers thus see little more than the calls.
type budget struct {
	share float64 // of calls
	floor float64 // a second

	mu    sync.Mutex // guards what follows
	at    int64      // the second of the newest bucket
	calls uint64     // counted when last looked at
	ring  [budgetWindow]struct{ calls, spent float64 }
}

const budgetWindow = 10 // seconds

// spend asks for one retry or hedge. calls is the number of calls ever made: they
// are counted elsewhere anyway, so that a call that succeeds costs nothing here.
func (b *budget) spend(now time.Duration, calls uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	second := int64(now / time.Second)
	fresh := float64(calls - b.calls)
	b.calls = calls
	if gone := second - b.at; gone >= budgetWindow {
		b.ring = [budgetWindow]struct{ calls, spent float64 }{}
		fresh *= float64(budgetWindow) / float64(gone) // spread evenly, for all that is known
	} else {
		for i := b.at + 1; i <= second; i++ {
			b.ring[i%budgetWindow] = struct{ calls, spent float64 }{}
		}
	}
	b.at = second
	b.ring[second%budgetWindow].calls += fresh
	var made, spent float64
	for _, s := range b.ring {
		made += s.calls
		spent += s.spent
	}
	if spent+1 > b.share*made+b.floor*budgetWindow {
		return false
	}
	b.ring[second%budgetWindow].spent++
	return true
}
