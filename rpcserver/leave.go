package rpcserver

import (
	"context"
	"errors"
	"time"
)

const (
	// headStart is how long Shutdown waits for the hook before it tells the clients: a
	// client that is told asks DNS at once, and should not find the instance there.
	headStart = 100 * time.Millisecond
	// farewellTime is how long before the end of Shutdown's time connections stop
	// reading, at most, so that requests which were read can be answered. It is a tenth of
	// the time if that is less.
	farewellTime = time.Second
	// hookTime is how long the deregistration may take beyond everything else.
	hookTime = 800 * time.Millisecond
)

// errNotDeregistered is the error of a hook that has not answered at all.
var errNotDeregistered = errors.New("rpcserver: the hook did not answer in time: the registration ends with its lease")

// beforeEnd ends a little before ctx does, if that has a deadline.
func beforeEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, end.Add(-min(farewellTime, time.Until(end)/10)))
}

// leaving is a deregistration under way.
type leaving struct {
	began  time.Time
	ttl    time.Duration // of the record; zero: there is none
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	ended  time.Time // before done
	err    error     // before done
}

// leave begins to deregister.
func leave(ctx context.Context, ttl time.Duration, deregister func(context.Context) error) *leaving {
	g := &leaving{began: time.Now(), ttl: ttl, done: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(ctx)
	go func() {
		defer close(g.done)
		g.err = deregister(g.ctx)
		g.ended = time.Now()
	}()
	return g
}

// wait waits for the end, but no longer than d or ctx. No end is an error.
func (g *leaving) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-g.done:
		return g.err
	case <-t.C:
	case <-ctx.Done():
	}
	return errNotDeregistered
}

// finish is the last wait. After it the deregistration ends soon by itself.
func (g *leaving) finish(ctx context.Context) error {
	if err := g.wait(ctx, hookTime); err != errNotDeregistered {
		return err
	}
	g.cancel()
	return g.wait(context.WithoutCancel(ctx), headStart)
}

// waitForRecord waits until no cache can hold the record any more.
func (g *leaving) waitForRecord(ctx context.Context) {
	if g.ttl == 0 {
		return
	}
	wait(ctx, time.Until(g.began.Add(g.ttl)))
	select {
	case <-g.done:
		if g.err == nil {
			wait(ctx, min(hookTime, time.Until(g.ended.Add(g.ttl))))
		}
	default:
	}
}

// wait waits for d or ctx.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Tests: listener_test.go, shutdown_test.go, stop_test.go.
