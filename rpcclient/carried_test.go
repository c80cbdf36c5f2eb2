package rpcclient

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// waits is a method that runs until its context ends. It tells the test about its context.
type waits struct {
	calls int // so many were made
	begun chan waiting
}

// waiting is one run of the method.
type waiting struct {
	call  int
	ctx   context.Context
	ended chan error // why ctx has ended
}

func newWaits(t *testing.T, s *rpcserver.Server) *waits {
	w := &waits{begun: make(chan waiting, 100)}
	err := rpcserver.Handle(s, "Waits.Wait", func(ctx context.Context, args Args) (int, error) {
		one := waiting{args.A, ctx, make(chan error, 1)}
		w.begun <- one
		<-ctx.Done()
		one.ended <- context.Cause(ctx)
		return 0, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// call makes a call, and returns when its method runs. On a busy machine the time of the
// call may be over before: then it makes another one with more time. The method may begin
// for the first one all the same, at any later time.
func (w *waits) call(t *testing.T, c *Client, timeout time.Duration, m Method) (ctx context.Context, cancel func(), failed chan error, theirs waiting) {
	for {
		ctx, cancel := context.WithCancel(t.Context())
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(t.Context(), timeout)
		}
		w.calls++
		args, failed := &Args{A: w.calls}, make(chan error, 1)
		go func() { failed <- c.Call(ctx, "Waits.Wait", args, nil, Settings(m)) }()
		for over := false; !over; {
			select {
			case theirs := <-w.begun:
				if theirs.call == w.calls {
					return ctx, cancel, failed, theirs
				}
			case err := <-failed:
				if over = true; errors.Is(err, ErrClosed) {
					t.Fatal(err)
				}
			}
		}
		cancel()
		if timeout, m.Timeout = 2*timeout, 2*m.Timeout; timeout+m.Timeout > time.Minute {
			t.Fatal("the method never runs")
		}
	}
}

// TestMethodHearsThatItsCallerHasGivenUp, whatever the reason, and knows the deadline of the
// caller's context.
func TestMethodHearsThatItsCallerHasGivenUp(t *testing.T) {
	s, addr := startOurs(t, rpcserver.Config{})
	w := newWaits(t, s)
	for name, tt := range map[string]struct {
		timeout time.Duration // of the context; 0: none
		m       Method
		cancel  bool
		close   bool
		want    []error
	}{
		"the context is cancelled":  {cancel: true, want: []error{rpcserver.ErrGaveUp}},
		"Timeout of the method":     {m: Method{Timeout: 50 * time.Millisecond}, want: []error{rpcserver.ErrGaveUp}},
		"deadline of the context":   {timeout: 50 * time.Millisecond, want: []error{rpcserver.ErrGaveUp, context.DeadlineExceeded}},
		"cancelled with a deadline": {timeout: time.Minute, cancel: true, want: []error{rpcserver.ErrGaveUp}},
		"the client is closed":      {close: true, want: []error{rpcserver.ErrDisconnected}},
	} {
		c := newClient(t, Config{Conn: ConnConfig{PingTimeout: time.Minute}}, addr)
		ready(t, c)
		ctx, cancel, failed, theirs := w.call(t, c, tt.timeout, tt.m)
		theirEnd, has := ctx.Deadline()
		if end, ok := theirs.ctx.Deadline(); ok != has || ok && (end.Sub(theirEnd) > time.Minute || theirEnd.Sub(end) > time.Second) {
			t.Errorf("%s: the method ends at %v, its caller at %v", name, end, theirEnd)
		}
		switch {
		case tt.cancel:
			cancel()
		case tt.close:
			c.Close()
		}
		if err := <-failed; !tt.close && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the call says %v", name, err)
		}
		why := <-theirs.ended
		known := false
		for _, want := range tt.want {
			known = known || errors.Is(why, want)
		}
		if !known {
			t.Errorf("%s: the context ended with %v", name, why)
		}
		cancel()
	}
}

// TestTraceTravelsOverTwoHops: what Forward names, and nothing else.
func TestTraceTravelsOverTwoHops(t *testing.T) {
	back, backAddr := startOurs(t, rpcserver.Config{})
	err := rpcserver.Handle(back, "Back.Meta", func(ctx context.Context, _ Args) (map[string]string, error) {
		all := make(map[string]string)
		for k, v := range rpcserver.CallFrom(ctx).Meta.All() {
			all[k] = v
		}
		return all, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	toBack := newClient(t, Config{Interceptors: []Interceptor{Forward("traceparent", "tracestate")}}, backAddr)
	front, frontAddr := startOurs(t, rpcserver.Config{})
	err = rpcserver.Handle(front, "Front.Pass", func(ctx context.Context, args Args) (map[string]string, error) {
		return Invoke[map[string]string](ctx, toBack, "Back.Meta", args)
	})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Config{}, frontAddr)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := WithMeta(WithMeta(t.Context(), "token", "secret"), "traceparent", trace)
	got, err := Invoke[map[string]string](ctx, c, "Front.Pass", Args{})
	if err != nil || len(got) != 1 || got["traceparent"] != trace {
		t.Errorf("%v, %v", got, err)
	}
}

// TestRefusalByMiddlewareSendsACallElsewhere, once, though its method is not idempotent.
func TestRefusalByMiddlewareSendsACallElsewhere(t *testing.T) {
	var refused, executed atomic.Int64
	refuse := func(context.Context, *rpcserver.Call, rpcserver.Handler) error {
		refused.Add(1)
		return rpcserver.Refuse("too much to do", 10*time.Second)
	}
	full, fullAddr := startOurs(t, rpcserver.Config{Middleware: []rpcserver.Middleware{refuse}})
	free, freeAddr := startOurs(t, rpcserver.Config{})
	count := func(context.Context, Args) (int, error) { return int(executed.Add(1)), nil }
	if err := errors.Join(rpcserver.Handle(full, "Count.Add", count), rpcserver.Handle(free, "Count.Add", count)); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Config{Conn: ConnConfig{PingInterval: -1}}, fullAddr, freeAddr)
	allUp(t, c, 2)
	calls := int64(0)
	for ; calls < 50 || refused.Load() == 0; calls++ {
		if n, err := Invoke[int](t.Context(), c, "Count.Add", Args{}); err != nil || int64(n) != calls+1 {
			t.Fatal(n, err)
		}
	}
	if refused.Load() != 1 || executed.Load() != calls {
		t.Errorf("%d calls, %d executed, %d refused", calls, executed.Load(), refused.Load())
	}
	free.Close()
	one := newClient(t, Config{}, fullAddr)
	_, err := Invoke[int](t.Context(), one, "Count.Add", Args{})
	var e *Error
	var why *RefusedError
	if !errors.As(err, &e) || e.Executed != ExecutedNever || !errors.As(err, &why) || why.Text != "too much to do" || why.Wait != 10*time.Second {
		t.Errorf("%#v", err)
	}
}
