package resolver

import (
	"context"
	"time"
)

// nap is the longest sleep of a refresh loop. Timers do not run while a machine is
// suspended. After it wakes up, nap bounds how long the loop takes to notice that.
const nap = 10 * time.Second

// refreshFrom is the percentage of a TTL after which a name is asked for again, at the
// latest after the whole TTL. The moment is random: otherwise clients that started
// together would always ask together.
const refreshFrom = 80

// join adds a watcher to the name, and starts the refresh loop for the first one.
func (r *Resolver) join(ctx context.Context, name string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entryLocked(name)
	if e.watchers++; e.watchers > 1 {
		return e
	}
	e.ready = false
	e.ready = r.currentLocked(e) // otherwise the loop asks first
	ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	e.stopped = stopped
	go func() {
		defer close(stopped)
		r.keepFresh(ctx, e)
	}()
	return e
}

// leave takes a watcher away. After the last one it ends the refresh loop, and the session
// of DNS push if that has no other name, and waits for their end.
func (r *Resolver) leave(e *entry) {
	r.mu.Lock()
	e.watchers--
	var stopped, ended <-chan struct{}
	if e.watchers == 0 {
		e.stop()
		stopped, ended = e.stopped, r.unfollowLocked(e)
	}
	r.mu.Unlock()
	for _, done := range []<-chan struct{}{stopped, ended} {
		if done != nil {
			<-done
		}
	}
}

// keepFresh is the refresh loop of one name: it sleeps until the name is due, and asks.
// It reads from the entry each time when that is. So a Lookup that has applied an answer,
// and a Refresh that wants one, only have to wake it.
func (r *Resolver) keepFresh(ctx context.Context, e *entry) {
	timer := time.NewTimer(nap)
	defer timer.Stop()
	now, wall := time.Now(), r.wallNow()
	for {
		slept, sleptWall := time.Since(now), r.wallNow().Sub(wall)
		now, wall = now.Add(slept), wall.Add(sleptWall)
		r.mu.Lock()
		if f := e.push.follow; f != nil && sleptWall-slept > nap {
			f.session.endLocked(errSuspended) // the server may have given it up
		}
		due, follow := r.dueLocked(e), r.followLocked(ctx, e)
		r.mu.Unlock()
		if due <= 0 {
			if !r.fly(ctx, e) {
				return
			}
			continue
		}
		timer.Reset(min(due, follow, nap))
		select {
		case <-ctx.Done():
			return
		case <-e.kick:
		case <-timer.C:
		}
	}
}
