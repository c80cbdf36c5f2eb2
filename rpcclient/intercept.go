package rpcclient

import "context"

// Invocation is a call as an Interceptor sees it. The interceptor may change it.
//
// If an interceptor changes Method, the settings of the call become what Config.Methods
// declares of the new method, because what is true of one method is not true of another:
// all except those of Idempotent and Hedge that it changes, too. Hedge counts only beside
// Idempotent.
type Invocation struct {
	Service    string // read only
	Method     string
	Args       any
	Reply      any
	Idempotent bool
	Hedge      float64
	Key        string
}

// Interceptor wraps calls. It may call next once, several times, or not at all.
type Interceptor func(ctx context.Context, in *Invocation, next func(context.Context, *Invocation) error) error

// intercepted runs the call through the interceptors.
func (cl *call) intercepted(ctx context.Context) error {
	c := cl.client
	var next func(i int) func(context.Context, *Invocation) error
	next = func(i int) func(context.Context, *Invocation) error {
		if i == len(c.cfg.Interceptors) {
			return func(ctx context.Context, in *Invocation) error {
				// A second call, because an interceptor may call next twice, even at once.
				u := c.idleCalls.Get().(*call)
				u.method, u.args, u.reply = in.Method, in.Args, in.Reply
				u.options = options{cl.declared(in), in.Key, cl.onNode, cl.options.err}
				u.departure, u.borrowed = cl.departure, cl.borrowed
				err := u.run(ctx)
				u.reset()
				c.idleCalls.Put(u)
				return err
			}
		}
		return func(ctx context.Context, in *Invocation) error {
			return c.cfg.Interceptors[i](ctx, in, next(i+1))
		}
	}
	return next(0)(ctx, &Invocation{
		Service: c.service, Method: cl.method, Args: cl.args, Reply: cl.reply,
		Idempotent: cl.Idempotent, Hedge: cl.Hedge, Key: cl.key,
	})
}

// declared is what is true of the method that the interceptors have chosen, when cl is
// the call before them.
func (cl *call) declared(in *Invocation) Method {
	m := cl.options.Method
	if in.Method != cl.method {
		m = cl.client.cfg.Methods[in.Method]
	}
	if in.Method == cl.method || in.Idempotent != cl.Idempotent {
		m.Idempotent = in.Idempotent
	}
	if in.Method == cl.method || in.Hedge != cl.Hedge {
		m.Hedge = in.Hedge
	}
	if !m.Idempotent {
		m.Hedge = 0
	}
	m.Hedge = min(max(m.Hedge, 0), maxHedge)
	return m
}
