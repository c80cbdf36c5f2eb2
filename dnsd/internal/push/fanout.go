package push

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// fewSubscribers are served by one goroutine: to start others takes longer.
const fewSubscribers = 64

// fanOut sends p, which leads from a mark to hub.at, to all subscribers. It waits for none of
// them. The caller holds hub.mu.
func (t *topic) fanOut(p *payload, from *mark, now time.Time) {
	workers := 1
	if len(t.subs) > fewSubscribers {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	work := func() {
		buf := t.hub.srv.buffer()
		defer t.hub.srv.release(buf)
		for {
			first := int(next.Add(fewSubscribers)) - fewSubscribers
			if first >= len(t.subs) {
				return
			}
			for _, sub := range t.subs[first:min(first+fewSubscribers, len(t.subs))] {
				sub.push(p, from, buf, now)
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
// before. A panic costs the session.
func (sub *subscription) push(p *payload, from *mark, buf *[]byte, at time.Time) {
	s := sub.session
	defer func() {
		if p := recover(); p != nil {
			s.srv.panicked(p, "client", s.from)
			s.abort("a panic")
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := sub.topic.hub.at.number
	if s.state != established || len(sub.behind) > 0 {
		return
	}
	for _, other := range s.subs {
		if sub.leavesToLocked(other) && (other.told == now || !s.writing) {
			return // it has sent the change, or will do so: RFC 8765 section 6.3.1
		}
	}
	if s.writing { // the difference from there is sent later, with what changes until then
		sub.behindLocked(from)
		return
	}
	sub.told = now
	sub.sendLocked(p)
	s.flushLocked(buf, at)
}

// Tests: slow_test.go, topic_test.go.
