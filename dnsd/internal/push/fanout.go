package push

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// fewSubscribers are served by one goroutine: to start others takes longer.
const fewSubscribers = 64

// fanOut sends p, which leads from p.from to hub.at, to all subscribers. It waits for none
// of them. The caller holds hub.mu.
func (t *topic) fanOut(p *payload, now time.Time) {
	workers := 1
	if len(t.subs) > fewSubscribers {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	work := func() {
		buf := t.hub.srv.bufs.Get().(*[]byte)
		defer t.hub.srv.bufs.Put(buf)
		for {
			from := int(next.Add(fewSubscribers)) - fewSubscribers
			if from >= len(t.subs) {
				return
			}
			for _, sub := range t.subs[from:min(from+fewSubscribers, len(t.subs))] {
				sub.push(p, buf, now)
			}
		}
	}
	var others sync.WaitGroup
	for range workers - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}

// push sends p, or notes that the subscription is behind if it has not sent yet what was
// before.
func (sub *subscription) push(p *payload, buf *[]byte, now time.Time) {
	s := sub.session
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != established || sub.coveredLocked():
	case sub.behind != nil:
	case s.writing: // the difference from there is sent later, with what changes until then
		sub.behind = p.from
	default:
		sub.payload, sub.sent = p, 0
		s.flushLocked(buf, now)
	}
}

// Tests: slow_test.go, topic_test.go.
