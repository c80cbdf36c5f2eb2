package conn

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// turn is the lock that a goroutine holds while it encodes on a connection. It is not
// a sync.Mutex because types and codecs of the user may take long to encode: others
// wait for the turn no longer than their deadlines allow.
type turn struct {
	taken   atomic.Bool
	waiting atomic.Int32
	free    chan struct{} // a token for a goroutine that waits
}

// turnSpins is how often a caller tries again at once: encoding takes a microsecond, and
// a timer with two switches of goroutines takes more.
const turnSpins = 8

func (t *turn) try() bool { return t.taken.CompareAndSwap(false, true) }

func (t *turn) spin() bool {
	for range turnSpins {
		if t.try() {
			return true
		}
		runtime.Gosched()
	}
	return false
}

// take waits for the turn as long as p does.
func (t *turn) take(p *patience) error {
	if t.spin() {
		return nil
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	for !t.try() {
		if err := p.wait(t.free); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) give() {
	t.taken.Store(false)
	// A goroutine that waits has counted itself before it tried: either it sees the turn
	// free, or it is seen here.
	if t.waiting.Load() > 0 {
		select {
		case t.free <- struct{}{}:
		default:
		}
	}
}

// patience is how long a request waits for its turn and for room in out.
type patience struct {
	ctx   context.Context
	dead  <-chan struct{}
	left  time.Duration // at first
	ends  bool          // it ends after left
	limit Limit         // of it
	none  bool          // it does not wait at all
	timer *time.Timer   // made when it comes to waiting
}

// Wait returns when there is a token in ch; else with errEnded, ErrBusy, or the error of
// a request whose time is over.
func (p *patience) wait(ch <-chan struct{}) error {
	if p.none {
		return ErrBusy
	}
	var expired <-chan time.Time
	if p.ends {
		if p.timer == nil {
			p.timer = time.NewTimer(p.left)
		}
		expired = p.timer.C
	}
	select {
	case <-ch:
		return nil
	case <-p.dead:
		return errEnded
	case <-p.ctx.Done():
		return ContextError(p.ctx)
	case <-expired:
		return UnsentError{p.limit}
	}
}

func (p *patience) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// Tests: torture_test.go.
