package register

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// tellGrace is how long the lease waits for OnChange to return: an OnChange that
	// hangs, or calls Update, must not cost the lease.
	tellGrace = time.Second
	// maxUntold is how many changes are kept for an OnChange that hangs: the latest.
	maxUntold = 100
)

// teller calls OnChange in order, one call at a time, in a goroutine of its own: so
// OnChange may call methods of the lease.
type teller struct {
	mu      sync.Mutex // guards untold, telling
	untold  []Status
	telling bool // the goroutine runs; it ends when untold is empty
}

// tell has OnChange called and waits for it, for at most tellGrace, and only until
// Close is called, which OnChange itself may do.
func (l *Lease) tell() {
	if l.cfg.OnChange == nil {
		return
	}
	t := &l.teller
	t.mu.Lock()
	t.untold = append(t.untold, l.Status())
	if len(t.untold) > maxUntold {
		t.untold = t.untold[1:]
	}
	if t.telling {
		t.mu.Unlock()
		return
	}
	t.telling = true
	t.mu.Unlock()
	stop := l.stop
	select {
	case <-stop: // tell was called by Close, and nothing ends its wait early
		stop = nil
	default:
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			t.mu.Lock()
			if len(t.untold) == 0 {
				t.telling = false
				t.mu.Unlock()
				return
			}
			st := t.untold[0]
			t.untold = t.untold[1:]
			t.mu.Unlock()
			l.onChange(st)
		}
	}()
	grace := time.NewTimer(tellGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-stop:
	case <-grace.C:
	}
}

// onChange calls OnChange. A panic there does not end the process, and a
// runtime.Goexit does not end the teller.
func (l *Lease) onChange(st Status) {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		defer func() {
			if p := recover(); p != nil {
				l.log(slog.LevelError, "panic in OnChange", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		l.cfg.OnChange(st)
	}()
	<-returned
}
