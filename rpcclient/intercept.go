package rpcclient

import "context"

// Invocation is a call as an Interceptor sees it, and may change it.
//
// With another Method, Idempotent and Hedge are what Config.Methods declares of
// that one, unless the interceptor changes them, too: what was declared of one method
// is not true of another. Hedge counts only beside Idempotent.
type Invocation struct {
	Service    string // read only
	Method     string
	Args       any
	Reply      any
	Idempotent bool
	Hedge      float64
	Key        string
}

// Interceptor wraps calls: it calls next, or does not, or does so again.
type Interceptor func(ctx context.Context, call *Invocation, next func(context.Context, *Invocation) error) error

// intercepted runs the call through the interceptors.
func (t *task) intercepted(ctx context.Context) error {
	c := t.client
	var next func(i int) func(context.Context, *Invocation) error
	next = func(i int) func(context.Context, *Invocation) error {
		if i == len(c.cfg.Interceptors) {
			return func(ctx context.Context, call *Invocation) error {
				// A task of its own, as an interceptor may call next twice, even at once.
				u := c.tasks.Get().(*task)
				u.method, u.args, u.reply = call.Method, call.Args, call.Reply
				u.options = options{t.declared(call), call.Key, t.onNode}
				u.departure, u.borrowed = t.departure, t.borrowed
				err := u.run(ctx)
				u.reset()
				c.tasks.Put(u)
				return err
			}
		}
		return func(ctx context.Context, call *Invocation) error {
			return c.cfg.Interceptors[i](ctx, call, next(i+1))
		}
	}
	return next(0)(ctx, &Invocation{
		Service: c.service, Method: t.method, Args: t.args, Reply: t.reply,
		Idempotent: t.Idempotent, Hedge: t.Hedge, Key: t.key,
	})
}

// declared is what is true of the method that the interceptors have left, when t is
// what they got.
func (t *task) declared(call *Invocation) Method {
	m := Method{call.Idempotent, call.Hedge}
	if call.Method != t.method && m == t.options.Method {
		m = t.client.cfg.Methods[call.Method]
	}
	if !m.Idempotent {
		m.Hedge = 0
	}
	m.Hedge = min(max(m.Hedge, 0), maxHedge)
	return m
}
