package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// closeTimeout bounds the deregistration.
const closeTimeout = 5 * time.Second

// abort ends a Keep that failed. A request under way gets a second to be answered:
// were it cut off, it could still reach the hook, behind the deregistration.
func (l *Lease) abort() {
	l.closeOnce.Do(func() {
		close(l.stop)
		select {
		case <-l.ended:
		case <-time.After(time.Second):
		}
		l.cancel()
		<-l.ended
		if l.doubt || l.registrations() > 0 { // best effort: if it fails, the lease runs out by itself
			_ = l.client.do(context.Background(), time.Second, http.MethodDelete, l.deletion(), nil, nil)
		}
		l.release()
	})
}

// release gives back what run left: the hold, connections, the end of Done.
func (l *Lease) release() {
	l.held.close()
	l.held = nil
	l.cancel()
	if l.own != nil {
		l.own.CloseIdleConnections()
	}
	l.end(LeaseClosed, errClosed)
}

// Close takes the instance away from the registry and returns when that is done:
// then no resolver gets it any more but from a cache. An instance that is not
// registered any more, was never, or was replaced, is no error. It tries until ctx
// ends, and for 5 s at most: a dnsd that is away must not keep a server from
// stopping. After an error the registration ends with its lease.
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
	for fails := 1; ; fails++ {
		err := l.client.do(ctx, l.cfg.Timeout, http.MethodDelete, l.deletion(), nil, nil)
		switch {
		case err == nil, status(err) == http.StatusNotFound, status(err) == http.StatusConflict:
			return nil
		case refused(err):
			return fmt.Errorf("register: deregister %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
		}
		timer := time.NewTimer(max(l.pauseAfter(fails), retryAfter(err)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("register: deregister %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
		}
	}
}

// deletion is the path of the DELETE, for this incarnation alone.
func (l *Lease) deletion() string {
	return fmt.Sprintf("%s?incarnation=%d", l.path, l.incarnation())
}
