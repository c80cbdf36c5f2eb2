package rpcclient

import (
	"context"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// Trace is a set of functions, any of which may be nil, after the model of
// net/http/httptrace. Those about a call run on its path, must not block, and may be
// called at the same time, because hedged attempts overlap.
type Trace struct {
	// Picked: an attempt on the node begins. The first attempt of a call is 1.
	Picked func(method, node string, attempt int)
	// Sent: the request is encoded and on its way.
	Sent func(method, node string)
	// Answered: the server answered; err is its error (rpc.ServerError), a refusal
	// (*RefusedError), a reply that does not fit, or nil.
	Answered func(method, node string, took time.Duration, err error)
	// Failed: an attempt failed.
	Failed func(method string, a Attempt)
	// Retrying: another attempt follows after the delay.
	Retrying func(method string, delay time.Duration)
	// Hedging: the first request is slow, and a second one follows at once.
	Hedging func(method string, after time.Duration)

	// Resolved: the Source has yielded a state. Like the functions below, it is called for
	// Config.Trace only.
	Resolved func(resolver.State)
	// Connected: a node has its first connection.
	Connected func(node string)
	// Disconnected: a node has lost its last connection, or could not be dialled.
	Disconnected func(node string, err error)
}

type traceKey struct{}

// traced are the Traces of a context, the last one first.
type traced struct {
	trace *Trace
	outer *traced
}

// WithTrace returns a context whose calls are traced by t, besides Config.Trace and the
// Traces that ctx has already. A nil t changes nothing.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	if t == nil {
		return ctx
	}
	outer, _ := ctx.Value(traceKey{}).(*traced)
	return context.WithValue(ctx, traceKey{}, &traced{t, outer})
}

// tracers are the Traces of a call. Mostly there is none.
type tracers struct {
	client *Trace
	call   *traced
}

func (c *Client) tracers(ctx context.Context) tracers {
	t, _ := ctx.Value(traceKey{}).(*traced)
	return tracers{c.cfg.Trace, t}
}

func (t tracers) each(f func(*Trace)) {
	if t.client != nil {
		f(t.client)
	}
	for call := t.call; call != nil; call = call.outer {
		f(call.trace)
	}
}

func (t tracers) none() bool { return t.client == nil && t.call == nil }

func (t tracers) picked(method, node string, attempt int) {
	t.each(func(t *Trace) {
		if t.Picked != nil {
			t.Picked(method, node, attempt)
		}
	})
}

func (t tracers) sent(method, node string) {
	t.each(func(t *Trace) {
		if t.Sent != nil {
			t.Sent(method, node)
		}
	})
}

func (t tracers) answered(method, node string, took time.Duration, err error) {
	t.each(func(t *Trace) {
		if t.Answered != nil {
			t.Answered(method, node, took, err)
		}
	})
}

func (t tracers) failed(method string, a Attempt) {
	t.each(func(t *Trace) {
		if t.Failed != nil {
			t.Failed(method, a)
		}
	})
}

func (t tracers) retrying(method string, delay time.Duration) {
	t.each(func(t *Trace) {
		if t.Retrying != nil {
			t.Retrying(method, delay)
		}
	})
}

func (t tracers) hedging(method string, after time.Duration) {
	t.each(func(t *Trace) {
		if t.Hedging != nil {
			t.Hedging(method, after)
		}
	})
}

func (t *Trace) resolved(s resolver.State) {
	if t != nil && t.Resolved != nil {
		t.Resolved(s)
	}
}

func (t *Trace) connected(node string) {
	if t != nil && t.Connected != nil {
		t.Connected(node)
	}
}

func (t *Trace) disconnected(node string, err error) {
	if t != nil && t.Disconnected != nil {
		t.Disconnected(node, err)
	}
}
