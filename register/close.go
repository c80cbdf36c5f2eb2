package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// closeTimeout bounds the deregistration: a dnsd that is away must not keep a server
// from stopping.
const closeTimeout = 5 * time.Second

// abort ends a Keep that failed. A request under way has a second to be answered:
// if it were cut off, it could still reach the hook, after the deregistration.
func (l *Lease) abort() {
	l.closeOnce.Do(func() {
		close(l.stop)
		select {
		case <-l.ended:
		case <-time.After(time.Second):
		}
		l.cancel()
		<-l.ended
		if l.doubt || l.registrations() > 0 { // best effort: if it fails, the lease ends by itself
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			for range l.cfg.Hooks {
				if err := l.delete(ctx); err == nil || refused(err) && !unwelcome(err) {
					break
				}
			}
		}
		l.release()
	})
}

// release ends the hold, closes the connections and Done. run has ended before.
func (l *Lease) release() {
	l.held.close()
	l.held = nil
	l.cancel()
	if l.own != nil {
		l.own.CloseIdleConnections()
	}
	l.end(LeaseClosed, errClosed)
}

// Close removes the instance from the registry and returns when that is done: after
// that a resolver finds it only in a cache. It is not an error if the instance is not
// registered, or was replaced. Close tries until ctx ends, and for 5 s at most. After
// an error the registration ends with its lease.
func (l *Lease) Close(ctx context.Context) error {
	l.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		close(l.stop)
		select {
		case <-l.ended: // a PUT under way must not overtake the DELETE
		case <-ctx.Done():
			l.cancel()
			<-l.ended
		}
		never := l.registrations() == 0 && !l.doubt
		if !never && !errors.Is(l.Err(), ErrReplaced) {
			l.closeErr = l.deregister(ctx)
		}
		l.release()
	})
	return l.closeErr
}

// deregister sends the DELETE until a hook has answered or ctx ends.
func (l *Lease) deregister(ctx context.Context) error {
	var strikes strikes
	for fails := 1; ; fails++ {
		err := l.delete(ctx)
		strikes.add(err)
		switch {
		case err == nil, status(err) == http.StatusNotFound, status(err) == http.StatusConflict:
			return nil
		case strikes.final(err, len(l.cfg.Hooks)):
			return fmt.Errorf("register: deregister %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
		}
		pause := time.Duration(0)
		if fails%len(l.cfg.Hooks) == 0 { // else the next hook is tried at once
			pause = max(l.pauseAfter(fails, maxBackoff), retryAfter(err))
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("register: deregister %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
		}
	}
}

// delete sends the DELETE to the hook in use. If there are others, one that hangs has only
// half of the time left.
func (l *Lease) delete(ctx context.Context) error {
	timeout := l.cfg.Timeout
	if end, ok := ctx.Deadline(); ok && len(l.cfg.Hooks) > 1 {
		timeout = min(timeout, time.Until(end)/2)
	}
	return l.client.do(ctx, timeout, http.MethodDelete, l.deletion(), nil, nil)
}

// deletion is the path of the DELETE, for this incarnation only.
func (l *Lease) deletion() string {
	return fmt.Sprintf("%s?incarnation=%d", l.path, l.incarnation())
}
