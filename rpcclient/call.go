package rpcclient

import "context"

// Call calls a method and waits for the answer. reply is a pointer, or nil to drop
// the answer; it is written only before Call returns, and never by an answer that
// comes late. What the server left out of the answer, for gob sends no zeros, stays as
// it is in reply, as with net/rpc; but a reply that can hold interface values, or
// is the answer of a hedge or of another codec, is replaced as a whole. An answer is
// better not dropped if it may hold interface values within others, or nil beside such of
// struct types: the first of a type, encoding/gob then does not find its end, and the
// connection is lost, with the other calls in flight on it.
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
	return c.do(ctx, c.task(method, args, reply, opts))
}

func (c *Client) task(method string, args, reply any, opts []CallOption) *task {
	t := c.tasks.Get().(*task)
	t.method, t.args, t.reply = method, args, reply
	if m, ok := c.cfg.Methods[method]; ok {
		t.options.Method = m
	}
	for _, opt := range opts {
		opt(&t.options)
	}
	return t
}

// do runs a task, and keeps it for another.
func (c *Client) do(ctx context.Context, t *task) error {
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

// CallOption is an option of one call.
type CallOption func(*options)

type options struct {
	Method
	key    string
	onNode *string
}

// maxHedge is half: with more, the second request would be the rule.
const maxHedge = 0.5

// Idempotent declares this call idempotent: see [Method]. Config.Methods does it for all
// calls of a method.
func Idempotent() CallOption { return func(o *options) { o.Idempotent = true } }

// Hedge declares this call idempotent and hedges it: share is [Method].Hedge, and takes
// the place of what Config.Methods says. Hedge(0) is idempotent without hedging.
func Hedge(share float64) CallOption {
	share = min(max(share, 0), maxHedge)
	return func(o *options) { o.Method = Method{Idempotent: true, Hedge: share} }
}

// Key gives the call an affinity: with balancer.Hash, calls of one key go to one node.
func Key(key string) CallOption { return func(o *options) { o.key = key } }

// OnNode stores the address of the node that answered, or "".
func OnNode(addr *string) CallOption {
	*addr = ""
	return func(o *options) { o.onNode = addr }
}
