package resolver

import (
	"context"
	"time"
)

// nap is the longest sleep of a refresh loop. Timers stand still while a machine
// is suspended; after it wakes up, this bounds how long that goes unnoticed.
const nap = 10 * time.Second

// refreshFrom is the percentage of a TTL from which on it is asked again: never
// later than the TTL, and spread, or clients that started together would ask together
// for ever.
const refreshFrom = 80

// join adds a watcher to the name and starts the refresh loop with the first.
func (r *Resolver) join(ctx context.Context, name string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entryLocked(name)
	if e.watchers++; e.watchers > 1 {
		return e
	}
	e.ready = false
	e.ready = r.currentLocked(e) // else the loop asks first
	ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	e.stopped = stopped
	go func() {
		defer close(stopped)
		r.keepFresh(ctx, e)
	}()
	return e
}

// leave takes a watcher away, and with the last the loop, whose end it waits for.
func (r *Resolver) leave(e *entry) {
	r.mu.Lock()
	e.watchers--
	var stopped chan struct{}
	if e.watchers == 0 {
		e.stop()
		stopped = e.stopped
	}
	r.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// keepFresh is the refresh loop of one name: it sleeps until the name is due and
// asks. It holds no plan of its own but reads it from the entry each time, so
// whoever applies news (a Lookup now, a server's push one day) or wants some
// (Refresh) only has to wake it.
func (r *Resolver) keepFresh(ctx context.Context, e *entry) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.mu.Lock()
		due := r.dueLocked(e)
		r.mu.Unlock()
		if due <= 0 {
			if !r.fly(ctx, e) {
				return
			}
			continue
		}
		timer.Reset(min(due, nap))
		select {
		case <-ctx.Done():
			return
		case <-e.kick:
		case <-timer.C:
		}
	}
}
