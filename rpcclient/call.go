package rpcclient

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// Call calls a method and waits for the answer. reply is a pointer, or nil to drop the
// answer. It is written only before Call returns, and never by an answer that is late.
// As with net/rpc, fields that the server's gob leaves out because they are zero stay as
// they are in reply. A reply that can hold interface values, is the answer of a hedge,
// or comes from another codec is replaced as a whole.
//
// Arguments and replies that can hold interface values are served as net/rpc serves
// them. One that does not fit, or whose caller has gone, may cost its connection, which
// is replaced.
//
// Every error is an *Error, unless an Interceptor returns another one. A server's own
// error is in it as rpc.ServerError.
func (c *Client) Call(ctx context.Context, method string, args, reply any, opts ...CallOption) error {
	if !c.enter() {
		return &Error{Service: c.service, Method: method, Err: ErrClosed}
	}
	defer c.leave()
	return c.do(ctx, c.newCall(method, args, reply, opts))
}

// callMethod is Call for a [TypedMethod].
func (c *Client) callMethod(ctx context.Context, method string, m *Method, args, reply any, opts []CallOption) error {
	if !c.enter() {
		return &Error{Service: c.service, Method: method, Err: ErrClosed}
	}
	defer c.leave()
	cl := c.newCall(method, args, reply, nil)
	cl.options.Method = m.over(cl.options.Method)
	cl.apply(opts)
	return c.do(ctx, cl)
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

// call is one call of the user. Calls are reused.
type call struct {
	client *Client
	method string
	args   any
	reply  any
	options

	tracers    tracers
	deadline   time.Duration // of the whole call, on the client's clock; 0: none
	limit      conn.Limit    // whose deadline it is
	perAttempt time.Duration // 0: only the deadline bounds an attempt
	byAttempt  conn.Limit    // whose limit perAttempt is
	travels    bool          // the servers are told how much time is left
	meta       callmeta.Meta // and this

	departure *departure // of a Go whose request has not been sent
	borrowed  bool       // the caller may change args: see Client.Go

	first  attempt
	second *attempt         // the hedge of the present attempt, if there is one
	tried  []*balancer.Node // nodes on which attempts have failed
	failed []Attempt
	resent int // attempts made after a server may have executed the call

	refusals int           // attempts that a server has refused
	patience time.Duration // on the client's clock: until then it waits for another node; 0: it has not waited
}

// newCall takes a call that is not in use and says what it is to do.
func (c *Client) newCall(method string, args, reply any, opts []CallOption) *call {
	cl := c.idleCalls.Get().(*call)
	cl.method, cl.args, cl.reply = method, args, reply
	if m, ok := c.cfg.Methods[method]; ok {
		cl.options.Method = m
	}
	cl.apply(opts)
	return cl
}

func (cl *call) apply(opts []CallOption) {
	for _, opt := range opts {
		opt(&cl.options)
	}
}

// do runs a call, which must not be used after that.
func (c *Client) do(ctx context.Context, cl *call) error {
	var err error
	if len(c.cfg.Interceptors) > 0 {
		err = cl.intercepted(ctx)
	} else {
		err = cl.run(ctx)
	}
	cl.reset()
	c.idleCalls.Put(cl)
	return err
}

// reset forgets what belongs to the user.
func (cl *call) reset() {
	first := attempt{request: conn.Request{Done: cl.first.request.Done}}
	clear(cl.tried)
	*cl = call{client: cl.client, first: first, tried: cl.tried[:0]}
}

// checkReply refuses a reply that no answer can be decoded into, before a server
// executes the call.
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

// begin sets the deadlines. It returns an error if the call's time is over already.
func (cl *call) begin(ctx context.Context) error {
	c := cl.client
	if ctx.Err() != nil {
		return conn.ContextError(ctx)
	}
	if err := checkReply(cl.reply); err != nil {
		return err
	}
	if cl.options.err != nil {
		return cl.options.err
	}
	var err error
	if cl.meta, err = callmeta.Outgoing(ctx); err != nil {
		cl.note(result{phase: PhaseEncode, err: err})
		return err
	}
	now := c.now()
	var whole time.Duration
	whole, cl.limit = cl.timeout()
	if end, ok := ctx.Deadline(); ok {
		cl.limit, cl.travels = byContext, true
		if whole = min(time.Until(end), forever); whole <= 0 {
			return context.DeadlineExceeded // the context's own timer is late
		}
	}
	if whole > 0 {
		cl.deadline = now + whole
	}
	cl.perAttempt, cl.byAttempt = cl.attemptTimeout(whole)
	cl.tracers = c.tracers(ctx)
	return nil
}

// run makes attempts until one succeeds or another one makes no sense.
func (cl *call) run(ctx context.Context) error {
	c := cl.client
	c.stats.calls.Add(1)
	defer cl.cleanUp()
	if err := cl.begin(ctx); err != nil {
		return cl.fail(err)
	}
	for {
		cl.second = nil
		res := cl.try(ctx)
		if res.err == nil {
			if cl.onNode != nil {
				*cl.onNode = res.node.addr()
			}
			return nil
		}
		cl.note(res)
		delay, stop := cl.next(ctx, res)
		if cl.borrowed && stop == nil {
			stop = res.err // the caller may have changed the argument
		}
		if stop != nil {
			if res.exec == ExecutedYes && cl.onNode != nil {
				*cl.onNode = res.node.addr()
			}
			return cl.fail(stop)
		}
		c.stats.retries.Add(1)
		if !cl.tracers.none() {
			cl.tracers.retrying(cl.method, delay)
		}
		if err := cl.pause(ctx, delay); err != nil {
			return cl.fail(err)
		}
		if cl.deadline > 0 && c.now() >= cl.deadline {
			return cl.fail(res.err)
		}
	}
}

// note keeps a failed attempt.
func (cl *call) note(res result) {
	a := Attempt{Phase: res.phase, Took: res.took, Executed: res.exec, Hedge: res.hedge, Err: res.err}
	if res.node != nil {
		a.Node = res.node.addr()
		cl.tried = append(cl.tried, res.node.balanced)
		res.node.failed(cl.method, a)
	}
	cl.failed = append(cl.failed, a)
	if !cl.tracers.none() {
		cl.tracers.failed(cl.method, a)
	}
}

// fail makes the error of the call.
func (cl *call) fail(why error) error {
	e := &Error{Service: cl.client.service, Method: cl.method, Attempts: cl.failed, Err: why}
	for _, a := range cl.failed {
		e.Executed = max(e.Executed, a.Executed)
	}
	s := &cl.client.stats
	switch {
	case e.Executed == ExecutedYes && cl.failed[len(cl.failed)-1].Phase == PhaseAnswer:
		s.answeredErrors.Add(1)
	case e.Executed == ExecutedNever:
		s.failedNever.Add(1)
	default:
		s.failedMaybe.Add(1)
	}
	return e
}

// pause waits before the next attempt.
func (cl *call) pause(ctx context.Context, delay time.Duration) error {
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
	case <-cl.client.ctx.Done():
		return ErrClosed
	}
}
