package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// lane gathers operations of one sort into requests. Operations that arrive while its
// requests are under way go together into the next one.
type lane struct {
	w      *Writes
	most   int           // requests under way
	answer time.Duration // bounds a request
	room   int           // operations that wait
	space  int           // octets of their lines

	mu      sync.Mutex // guards what follows, and the fields of each call that say so
	waiting []*call    // the oldest first; also some that were left
	live    int        // those of waiting that were not left
	octets  int        // of the lines of those
	senders int        // goroutines that send
	failing bool       // nothing could be sent: one sender goes on trying

	last lastRequest
	full chan struct{} // a sender waits for operations; nil: none does
	want int           // full is closed when so many wait
}

// lastRequest tells the next sender how long to wait for other operations.
type lastRequest struct {
	ended time.Time
	took  time.Duration
	calls int // that it answered, and that waited at its end
}

// call is an operation on its way to the writer.
type call struct {
	operation
	ctx   context.Context
	line  []byte // the operation as JSON
	began uint64 // the revision here before it was sent
	until time.Time
	end   time.Time
	done  chan outcome // has room for the one outcome

	// Guarded by the lane's mu:
	underway  bool // it is in a request
	uncertain bool // it may have been executed
	left      bool // its caller has gone
}

// doubt notes that c may have been executed: it tells the next writer so.
func (c *call) doubt() {
	if c.uncertain = true; c.since == nil {
		c.since = &c.began
		c.line = marshal(c.json())
	}
}

// outcome is how a call ended.
type outcome struct {
	result
	local bool // not at all: the own registry is the writer now
}

// forward sends c to the writer and waits for its outcome. If the context of c ends, it
// takes c back, unless c was sent already: then it waits for the outcome, but not beyond
// the end of c.
func (l *lane) forward(c *call) outcome {
	if err := l.enter(c); err != nil {
		return outcome{result: result{err: err}}
	}
	timer := time.NewTimer(time.Until(c.until))
	defer timer.Stop()
	canceled, closed := c.ctx.Done(), l.w.life.Done()
	for {
		select {
		case out := <-c.done:
			return out
		case <-canceled:
			canceled = nil
		case <-closed:
			closed = nil
		case <-timer.C:
			timer.Reset(time.Until(c.end))
		}
		if err := l.leave(c, time.Now()); err != nil {
			return outcome{result: result{err: err}}
		}
	}
}

// settle returns when whatever has entered the lane has started its sender.
func (l *lane) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
}

// enter lets c wait, and makes sure that it is sent.
func (l *lane) enter(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.w.life.Err() != nil:
		return registry.ErrClosed
	case l.live >= l.room, l.octets+len(c.line) > l.space:
		return fmt.Errorf("%w: %d operations of %d octets wait for the writer already", registry.ErrNotWriter, l.live, l.octets)
	}
	l.waiting = append(l.waiting, c)
	l.live, l.octets = l.live+1, l.octets+len(c.line)
	if l.full != nil {
		if l.live == l.want {
			close(l.full)
			l.want = 0 // some may leave, and others come, before the sender goes on
		}
		return nil
	}
	if l.senders == 0 || l.senders < l.most && !l.failing {
		l.senders++
		l.w.running.Go(l.run)
	}
	return nil
}

// leave takes c back if its time is over. It returns nil if the caller must wait on.
func (l *lane) leave(c *call, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := now.Compare(c.end) >= 0
	switch {
	case len(c.done) > 0, c.underway && !over:
		return nil
	case c.ctx.Err() == nil && l.w.life.Err() == nil && !over && (c.uncertain || now.Before(c.until)):
		return nil
	}
	c.left = true
	c.uncertain = c.uncertain || c.underway
	if !c.underway {
		l.live, l.octets = l.live-1, l.octets-len(c.line)
		c.line = nil // the call itself is in waiting for a while
		switch {
		case l.live == 0:
			l.waiting = nil
		case len(l.waiting) > 2*l.live+64: // most were left
			l.waiting = slices.DeleteFunc(l.waiting, func(c *call) bool { return c.left })
		}
	}
	return l.w.giveUp(c)
}

// over is an error if the time of c, which does not wait, is over.
func (l *lane) over(c *call) error {
	now := time.Now()
	if c.ctx.Err() == nil && l.w.life.Err() == nil && now.Before(c.limit()) && c.again() {
		return nil
	}
	return l.w.giveUp(c)
}

// limit is the time at which c is not sent again.
func (c *call) limit() time.Time {
	if c.uncertain {
		return c.end
	}
	return c.until
}

// again says whether c may be sent, or sent again.
func (c *call) again() bool { return !c.uncertain || c.kind.repeatable() }

// longestGather bounds what a sender waits for other operations.
const longestGather = 5 * time.Millisecond

// gather waits briefly for the callers that were just answered, which usually have a next
// operation. Else the first of them would have a request, and a commit of the writer, of
// its own, and the others would be divided among what follows. It waits for as many
// as the last request had, but no longer after it than half of the time that it took. It
// returns false if another sender waits already: then the sender must end.
func (l *lane) gather() bool {
	const worthwhile = 20 * time.Microsecond // a shorter wait costs more than it saves
	l.mu.Lock()
	if l.full != nil {
		l.senders--
		l.mu.Unlock()
		return false
	}
	patience := min(l.last.took/2, longestGather) - time.Since(l.last.ended)
	if l.live == 0 || l.live >= l.last.calls || patience < worthwhile {
		l.mu.Unlock()
		return true
	}
	full := make(chan struct{})
	l.full, l.want = full, l.last.calls
	l.mu.Unlock()
	wait(l.w.life, full, patience)
	l.mu.Lock()
	l.full = nil
	l.mu.Unlock()
	return true
}

// take returns the calls of the next request; nil: there are none, and the sender must
// end.
func (l *lane) take() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*call
	octets, i := 0, 0
	for ; i < len(l.waiting) && len(batch) < mostOperations && octets < fullBatch; i++ {
		if c := l.waiting[i]; !c.left {
			c.underway = true
			octets += len(c.line)
			batch = append(batch, c)
		}
	}
	if l.waiting = l.waiting[i:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	l.octets -= octets
	if l.live -= len(batch); batch == nil {
		l.senders--
	}
	return batch
}

// idle says whether the sender must end: nothing waits, or another sender goes on trying.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live > 0 && (!l.failing || l.senders == 1) {
		return false
	}
	l.senders--
	return true
}

// fail notes whether anything can be sent.
func (l *lane) fail(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = yes
}

// finish gives each call of a request its outcome. Calls that must be sent again wait in
// front of all others. again says that there were some.
func (l *lane) finish(batch []*call, outcomes []outcome, took time.Duration) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = lastRequest{time.Now(), took, len(batch) + l.live}
	var back []*call
	for i, c := range batch {
		out := outcomes[i]
		uncertain := errors.Is(out.err, registry.ErrUncertain)
		retry := uncertain || retryable(out.err)
		if retry {
			again = true
			l.w.note(out.err)
		}
		if c.left {
			continue // c is the caller's
		}
		c.underway = false
		if uncertain {
			c.doubt()
		}
		if retry {
			if out.err = l.over(c); out.err == nil {
				back = append(back, c)
				continue
			}
		}
		c.done <- out
	}
	if l.failing = again; !again {
		l.w.note(nil)
	}
	if len(back) > 0 {
		l.waiting = append(back, l.waiting...)
		l.live += len(back)
		for _, c := range back {
			l.octets += len(c.line)
		}
	}
	return again
}

// retryable says whether err means that the operation was not executed, and that it is
// worth to send it again.
func retryable(err error) bool {
	if err == nil || errors.Is(err, errUnsupported) {
		return false
	}
	for _, r := range [...]error{registry.ErrNotWriter, registry.ErrClosed, errBusy, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// run sends until nothing waits.
func (l *lane) run() {
	var pause pause
	for {
		runtime.Gosched() // callers that were just answered usually have a next operation: it goes into this request
		to, changed, err := l.w.members.Writer()
		switch {
		case l.w.life.Err() != nil || l.w.registry.Leads():
			l.giveBack()
			if l.idle() {
				return
			}
		case err == nil && to.Fingerprint != l.w.client.me:
			if !l.gather() {
				return
			}
			batch := l.take()
			if batch == nil {
				return
			}
			began := time.Now()
			if !l.finish(batch, l.send(to, changed, batch), time.Since(began)) {
				pause.reset()
				continue
			}
			if l.idle() {
				return
			}
			pause.wait(l.w.life, changed)
		default:
			if err == nil {
				err = errors.New("this member becomes the writer, and is not ready yet")
			}
			l.w.note(err)
			l.fail(true)
			if l.idle() {
				return
			}
			wait(l.w.life, changed, patience)
		}
	}
}

// giveBack lets the callers make their writes themselves, because the own registry is the
// writer, or ends them, because Writes was closed.
func (l *lane) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := outcome{local: true}
	if l.w.life.Err() != nil {
		out = outcome{result: result{err: registry.ErrClosed}}
	}
	for _, c := range l.waiting {
		if !c.left {
			c.done <- out
		}
	}
	l.waiting, l.live, l.octets, l.failing = nil, 0, 0, false
}

// pause is the time between two attempts that fail: the first is made again at once.
type pause struct{ next time.Duration }

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 100 * time.Millisecond // a writer that becomes ready is not found later than this
)

func (p *pause) reset() { p.next = 0 }

func (p *pause) wait(ctx context.Context, changed <-chan struct{}) {
	if p.next > 0 {
		wait(ctx, changed, p.next/2+rand.N(p.next/2))
	}
	p.next = min(max(2*p.next, firstPause), lastPause)
}

// wait waits until the channel is closed, the context ends, or the time is over.
func wait(ctx context.Context, changed <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-changed:
	case <-ctx.Done():
	case <-timer.C:
	}
}
