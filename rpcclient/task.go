package rpcclient

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// task is the state of one call of the user. Tasks are reused.
type task struct {
	client *Client
	method string
	args   any
	reply  any
	options

	tracers  tracers
	deadline time.Duration // of the whole, on the client's clock; 0: none
	limit    conn.Limit    // whose deadline it is
	perTry   time.Duration // 0: no bound but the deadline

	departure *departure // of a Go that has not been sent
	borrowed  bool       // args are not ours: see Client.Go

	first    flight
	second   *flight          // the hedge of the present try, if there is one
	tried    []*balancer.Node // that failed
	attempts []Attempt        // that failed
	resent   int              // tries after a server may have executed it
}

func newTask(c *Client) *task {
	return &task{client: c, first: flight{request: *conn.NewRequest()}}
}

// reset forgets what belongs to the user.
func (t *task) reset() {
	first := flight{request: conn.Request{Done: t.first.request.Done}}
	clear(t.tried)
	*t = task{client: t.client, first: first, tried: t.tried[:0]}
}

// checkReply refuses what no answer can be decoded into, before anything is executed.
func checkReply(reply any) error {
	if reply == nil {
		return nil
	}
	v := reflect.ValueOf(reply)
	switch {
	case v.Kind() != reflect.Pointer:
		return fmt.Errorf("the reply is a %T: want a pointer, or nil to drop the answer", reply)
	case v.IsNil():
		return fmt.Errorf("the reply is a nil %T: want a pointer to a value, or nil itself to drop the answer", reply)
	}
	return nil
}

// begin sets the clocks, unless the call's time is over already.
func (t *task) begin(ctx context.Context) error {
	c := t.client
	if ctx.Err() != nil {
		return conn.ContextError(ctx)
	}
	if err := checkReply(t.reply); err != nil {
		return err
	}
	now := c.now()
	whole := c.cfg.Timeout
	t.limit = byTimeout
	if end, ok := ctx.Deadline(); ok {
		t.limit = byContext
		if whole = time.Until(end); whole <= 0 {
			return context.DeadlineExceeded // the context's own timer is late
		}
	}
	if whole > 0 {
		t.deadline = now + whole
	}
	switch {
	case c.cfg.AttemptTimeout > 0:
		t.perTry = c.cfg.AttemptTimeout
	case t.Idempotent && whole > 0:
		t.perTry = whole / 2
	}
	t.tracers = c.tracers(ctx)
	return nil
}

// run is the call: tries, until one succeeds or there is no sense in another.
func (t *task) run(ctx context.Context) error {
	c := t.client
	c.stats.calls.Add(1)
	defer t.cleanUp()
	if err := t.begin(ctx); err != nil {
		return t.fail(err) // nothing is sent for one who has gone
	}
	for {
		t.second = nil
		res := t.try(ctx)
		if res.err == nil {
			if t.onNode != nil {
				*t.onNode = res.node.addr()
			}
			return nil
		}
		t.note(res)
		delay, stop := t.next(ctx, res)
		if t.borrowed && stop == nil {
			stop = res.err // the argument may not be what it was
		}
		if stop != nil {
			if res.phase == Answer && t.onNode != nil {
				*t.onNode = res.node.addr()
			}
			return t.fail(stop)
		}
		c.stats.retries.Add(1)
		if !t.tracers.none() {
			t.tracers.retrying(t.method, delay)
		}
		if err := t.pause(ctx, delay); err != nil {
			return t.fail(err)
		}
		if t.deadline > 0 && c.now() >= t.deadline {
			return t.fail(res.err)
		}
	}
}

// note keeps a failed try.
func (t *task) note(res result) {
	a := Attempt{Phase: res.phase, Took: res.took, Executed: res.exec, Hedge: res.hedge, Err: res.err}
	if res.node != nil {
		a.Node = res.node.addr()
		t.tried = append(t.tried, res.node.balanced)
		res.node.failed(t.method, a)
	}
	t.attempts = append(t.attempts, a)
	if !t.tracers.none() {
		t.tracers.failed(t.method, a)
	}
}

// fail makes the error of the call.
func (t *task) fail(why error) error {
	e := &Error{Service: t.client.service, Method: t.method, Attempts: t.attempts, Err: why}
	for _, a := range t.attempts {
		e.Executed = max(e.Executed, a.Executed)
	}
	s := &t.client.stats
	switch {
	case e.Executed == Yes && t.attempts[len(t.attempts)-1].Phase == Answer:
		s.answeredErrors.Add(1)
	case e.Executed == Never:
		s.failedNever.Add(1)
	default:
		s.failedMaybe.Add(1)
	}
	return e
}

// pause waits before the next try.
func (t *task) pause(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return conn.ContextError(ctx)
	case <-t.client.ctx.Done():
		return ErrClosed
	}
}
