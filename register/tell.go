package register

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// tellGrace is how long the lease waits for OnChange to return: one that hangs, or
	// calls Update, must not cost the lease.
	tellGrace = time.Second
	// maxUntold changes are kept for an OnChange that hangs, the latest ones.
	maxUntold = 100
)

// teller calls OnChange, in order and one call at a time, in a goroutine that nobody
// else needs: it may call back.
type teller struct {
	mu      sync.Mutex // guards untold, telling
	untold  []Status
	telling bool // there is a goroutine, which goes on until nothing is untold
}

// tell has OnChange called, and waits for it: not long, and not if Close is called
// meanwhile, perhaps by OnChange itself.
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
	case <-stop: // this is from Close, which nobody is to interrupt
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

// onChange contains what OnChange does: a panic is not the end of the process, nor is
// runtime.Goexit that of the telling.
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
