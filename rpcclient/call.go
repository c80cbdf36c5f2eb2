package rpcclient

import (
	"context"
	"net/rpc"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// Call calls a method and waits for the answer. reply is a pointer, or nil to drop
// the answer; it is written only before Call returns, and never by an answer that
// comes late. What the server left out of the answer, for gob sends no zeros, stays as
// it is in reply, as with net/rpc; but a reply that can hold interface values, or
// is the answer of a hedge or of another codec, is replaced as a whole. An answer is
// better not dropped if it may hold nil interface values beside such of struct types:
// the first of a type, encoding/gob then does not find its end.
//
// Every error is an *Error. A server's own error is in it as rpc.ServerError.
func (c *Client) Call(ctx context.Context, method string, args, reply any, opts ...CallOption) error {
	if !c.enter() {
		return &Error{Service: c.service, Method: method, Err: ErrClosed}
	}
	defer c.leave()
	return c.call(ctx, method, args, reply, opts)
}

// call is Call, counted in already.
func (c *Client) call(ctx context.Context, method string, args, reply any, opts []CallOption) error {
	t := c.tasks.Get().(*task)
	t.method, t.args, t.reply = method, args, reply
	if m, ok := c.cfg.Methods[method]; ok {
		t.options.Method = m
	}
	for _, opt := range opts {
		opt(&t.options)
	}
	var err error
	if len(c.cfg.Interceptors) > 0 {
		err = t.intercepted(ctx)
	} else {
		err = t.run(ctx)
	}
	t.reset()
	c.tasks.Put(t)
	return err
}

// Invoke is Call with the answer as its result.
func Invoke[R any](ctx context.Context, c *Client, method string, args any, opts ...CallOption) (R, error) {
	var reply R
	if err := c.Call(ctx, method, args, &reply, opts...); err != nil {
		var zero R
		return zero, err
	}
	return reply, nil
}

// Go calls in the background, as rpc.Client.Go does: the call is sent on done when
// it is complete. done must have room; nil makes a new channel.
func (c *Client) Go(ctx context.Context, method string, args, reply any, done chan *rpc.Call, opts ...CallOption) *rpc.Call {
	return c.background(ctx, method, args, reply, done, func(err error) error { return err }, opts...)
}

func (c *Client) background(ctx context.Context, method string, args, reply any, done chan *rpc.Call, as func(error) error, opts ...CallOption) *rpc.Call {
	if done == nil {
		done = make(chan *rpc.Call, 1)
	} else if cap(done) == 0 {
		panic("rpcclient: Go: done channel is unbuffered")
	}
	call := &rpc.Call{ServiceMethod: method, Args: args, Reply: reply, Done: done}
	complete := func(err error) {
		call.Error = as(err)
		select {
		case done <- call:
		default: // as net/rpc: room is the caller's responsibility
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.enter() {
		complete(&Error{Service: c.service, Method: method, Err: ErrClosed})
		return call
	}
	c.running.Go(func() {
		defer c.leave()
		complete(c.call(ctx, method, args, reply, opts))
	})
	return call
}

// CallOption is an option of one call.
type CallOption func(*options)

type options struct {
	Method
	key    string
	onNode *string
}

// Idempotent declares this call idempotent, with the extra load allowed for hedging
// (Method.ExtraLoad); 0 for none. Config.Methods does it for all calls of a method.
func Idempotent(extraLoad float64) CallOption {
	extraLoad = min(max(extraLoad, 0), 0.5)
	return func(o *options) { o.Method = Method{Idempotent: true, ExtraLoad: extraLoad} }
}

// Key gives the call an affinity: with balancer.Hash, calls of one key go to one node.
func Key(key string) CallOption { return func(o *options) { o.key = key } }

// OnNode stores the address of the node that answered, or "".
func OnNode(addr *string) CallOption {
	*addr = ""
	return func(o *options) { o.onNode = addr }
}

// Call is a call as an Interceptor sees it, and may change it.
type Call struct {
	Service    string // read only
	Method     string
	Args       any
	Reply      any
	Idempotent bool
	ExtraLoad  float64
	Key        string
}

// Interceptor wraps calls: it calls next, or does not, or does so again.
type Interceptor func(ctx context.Context, call *Call, next func(context.Context, *Call) error) error

// intercepted runs the call through the interceptors.
func (t *task) intercepted(ctx context.Context) error {
	c := t.client
	var next func(i int) func(context.Context, *Call) error
	next = func(i int) func(context.Context, *Call) error {
		if i == len(c.cfg.Interceptors) {
			return func(ctx context.Context, call *Call) error {
				// A task of its own, as an interceptor may call next twice, even at once.
				u := c.tasks.Get().(*task)
				u.method, u.args, u.reply = call.Method, call.Args, call.Reply
				u.options = options{Method{call.Idempotent, call.ExtraLoad}, call.Key, t.onNode}
				err := u.run(ctx)
				u.reset()
				c.tasks.Put(u)
				return err
			}
		}
		return func(ctx context.Context, call *Call) error {
			return c.cfg.Interceptors[i](ctx, call, next(i+1))
		}
	}
	return next(0)(ctx, &Call{
		Service: c.service, Method: t.method, Args: t.args, Reply: t.reply,
		Idempotent: t.Idempotent, ExtraLoad: t.ExtraLoad, Key: t.key,
	})
}

// task is the state of one call of the user. Tasks are reused.
type task struct {
	client *Client
	method string
	args   any
	reply  any
	options

	tracers  tracers
	deadline time.Duration // of the whole, on the client's clock; 0: none
	perTry   time.Duration // 0: no bound but the deadline

	first    flight
	tried    []*balancer.Node // that failed
	attempts []Attempt        // that failed
	resent   int              // tries after a server may have executed it
}

func newTask(c *Client) *task {
	return &task{client: c, first: flight{call: call{done: make(chan struct{}, 1)}}}
}

// reset forgets what belongs to the user.
func (t *task) reset() {
	first := flight{call: call{done: t.first.call.done}}
	clear(t.tried)
	*t = task{client: t.client, first: first, tried: t.tried[:0]}
}

// begin sets the clocks, unless the call's time is over already.
func (t *task) begin(ctx context.Context) error {
	c := t.client
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	now := c.now()
	whole := c.cfg.Timeout
	if end, ok := ctx.Deadline(); ok {
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
	if err := t.begin(ctx); err != nil {
		return t.fail(err) // nothing is sent for one who has gone
	}
	for {
		res := t.try(ctx)
		if res.err == nil {
			if t.onNode != nil {
				*t.onNode = res.node.addr()
			}
			return nil
		}
		t.note(res)
		delay, stop := t.next(ctx, res)
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
		return contextError(ctx)
	case <-t.client.ctx.Done():
		return ErrClosed
	}
}
