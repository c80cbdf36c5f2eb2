package rpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// through serves Arith with this middleware.
func through(t *testing.T, middleware ...rpcserver.Middleware) (*rpcserver.Server, string) {
	return serve(t, rpcserver.Config{Middleware: middleware}, newArith(), newBoth())
}

// stepKey is a key of a context.
type stepKey string

// TestMiddlewareIsCalledInOrder, the first outermost, for methods of both forms.
func TestMiddlewareIsCalledInOrder(t *testing.T) {
	steps := make(chan string, 100)
	step := func(name string) rpcserver.Middleware {
		return func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
			steps <- name + " " + call.Method
			err := next(context.WithValue(ctx, stepKey(name), call.Method), call)
			steps <- fmt.Sprint(name, " ", ctx.Value(stepKey("a")), " ", err)
			return err
		}
	}
	_, addr := through(t, step("a"), step("b"))
	c := dial(t, addr)
	for _, tt := range []struct {
		method string
		args   any
		reply  any
		err    string
	}{
		{"Arith.Multiply", Args{2, 3}, new(int), "<nil>"},
		{"Arith.Divide", Args{2, 0}, new(Quotient), "divide by zero"},
		{"Both.Pointer", Args{2, 3}, new(int), "<nil>"},
	} {
		err := c.Call(tt.method, tt.args, tt.reply)
		if fmt.Sprint(err) != tt.err {
			t.Error(tt.method, err)
		}
		for _, want := range []string{"a " + tt.method, "b " + tt.method, "b " + tt.method + " " + tt.err, "a <nil> " + tt.err} {
			if got := <-steps; got != want {
				t.Errorf("%s: step %q, want %q", tt.method, got, want)
			}
		}
	}
}

// TestMiddlewareSeesAndChanges the argument, the reply and the error.
func TestMiddlewareSeesAndChanges(t *testing.T) {
	_, addr := through(t, func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		args, ok := call.Args().(*Args)
		if !ok {
			return fmt.Errorf("the argument is a %T", call.Args())
		}
		if args.A == 0 {
			return errors.New("zero")
		}
		args.B++
		err := next(ctx, call)
		if n, ok := call.Reply().(*int); ok {
			*n *= 10
		}
		if err != nil {
			call.Reply().(*Quotient).Quo = 7
			return nil
		}
		return err
	})
	c := dial(t, addr)
	for range 2 { // nothing of the first is left in the second
		var n int
		if err := c.Call("Arith.Multiply", Args{2, 3}, &n); err != nil || n != 80 {
			t.Error(n, err)
		}
		var q Quotient
		if err := c.Call("Arith.Divide", Args{2, -1}, &q); err != nil || q.Quo != 7 {
			t.Error(q, err)
		}
		wantError(t, c.Call("Arith.Multiply", Args{0, 3}, &n), "zero")
		wantError(t, c.Call("Both.Plain", 3, &n), "the argument is a *int")
	}
}

// TestRefusals: what is refused before the method was called is not executed, and what is
// refused after it is an error.
func TestRefusals(t *testing.T) {
	refuse := func(text string, stayAway time.Duration) rpcserver.Middleware {
		return func(context.Context, *rpcserver.Call, rpcserver.Handler) error {
			return fmt.Errorf("not here: %w", rpcserver.Refuse(text, stayAway))
		}
	}
	pass := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error { return next(ctx, call) }
	late := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		next(ctx, call)
		return rpcserver.Refuse("too late", time.Second)
	}
	for name, tt := range map[string]struct {
		middleware []rpcserver.Middleware
		want       rpcwire.Response
	}{
		"before":              {[]rpcserver.Middleware{pass, refuse("busy", time.Second)}, rpcwire.Response{Error: "not here: busy", NotExecuted: true, Wait: time.Second}},
		"without a reason":    {[]rpcserver.Middleware{refuse("", -1)}, rpcwire.Response{Error: "not here: refused", NotExecuted: true}},
		"for long":            {[]rpcserver.Middleware{refuse("x", time.Hour)}, rpcwire.Response{Error: "not here: x", NotExecuted: true, Wait: time.Minute}},
		"after":               {[]rpcserver.Middleware{late}, rpcwire.Response{Error: "too late"}},
		"after one that went": {[]rpcserver.Middleware{late, pass}, rpcwire.Response{Error: "too late"}},
	} {
		said := make(chan bool, 2) // what Refused said of each of the two calls
		outermost := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
			err := next(ctx, call)
			said <- call.Refused(err)
			return err
		}
		s, addr := through(t, append([]rpcserver.Middleware{outermost}, tt.middleware...)...)
		c := wireTo(t, addr)
		c.send(t, rpcwire.Request{ServiceMethod: "Arith.Multiply", Seq: 1}, Args{2, 3})
		tt.want.Seq = 1
		got := c.recv(t, nil)
		if got.ServiceMethod = ""; got != tt.want {
			t.Errorf("%s: %+v", name, got)
		}
		wantError(t, dial(t, addr).Call("Arith.Multiply", Args{2, 3}, new(int)), tt.want.Error)
		refused := uint64(0)
		if tt.want.NotExecuted {
			refused = 2
		}
		for range 2 {
			if got := <-said; got != tt.want.NotExecuted {
				t.Errorf("%s: Refused says %t", name, got)
			}
		}
		if st := s.Stats(); st.NotExecuted != refused {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// TestWhatIsARefusal, of a Call that a test has made.
func TestWhatIsARefusal(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"nil":     {nil, false},
		"another": {errors.New("refused"), false},
		"one":     {rpcserver.Refuse("", 0), true},
		"wrapped": {fmt.Errorf("here: %w", rpcserver.Refuse("", 0)), true},
	} {
		if got := new(rpcserver.Call).Refused(tt.err); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestARefusalOfAMethodIsAnError, with middleware and without.
func TestARefusalOfAMethodIsAnError(t *testing.T) {
	for _, middleware := range [][]rpcserver.Middleware{nil, {
		func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error { return next(ctx, call) },
	}} {
		s, addr := serve(t, rpcserver.Config{Middleware: middleware})
		err := rpcserver.Handle(s, "Busy.Do", func(context.Context, int) (int, error) { return 0, rpcserver.Refuse("no", time.Second) })
		if err != nil {
			t.Fatal(err)
		}
		c := wireTo(t, addr)
		c.send(t, rpcwire.Request{ServiceMethod: "Busy.Do", Seq: 1}, 1)
		if got := c.recv(t, nil); got.NotExecuted || got.Wait != 0 || got.Error != "no" {
			t.Errorf("%+v", got)
		}
	}
}

// TestMiddlewareThatMisbehaves costs its call, and nothing else.
func TestMiddlewareThatMisbehaves(t *testing.T) {
	next := make(chan func() error, 1)
	_, addr := through(t, func(ctx context.Context, call *rpcserver.Call, h rpcserver.Handler) (err error) {
		switch call.Args().(*Args).A {
		case 1:
			panic("before")
		case 2:
			h(ctx, call)
			panic("after")
		case 3:
			return h(ctx, new(rpcserver.Call))
		case 4:
			next <- func() error { return h(ctx, call) }
			return errors.New("gone")
		case 5:
			defer func() { err = fmt.Errorf("recovered: %v", recover()) }()
			*call.Args().(*Args) = Args{}
			return h(ctx, call)
		}
		if err := h(ctx, call); err != nil {
			return err
		}
		return h(ctx, call) // twice: the method is idempotent
	})
	c := dial(t, addr)
	var n int
	wantError(t, c.Call("Arith.Multiply", Args{1, 3}, &n), "panic in Arith.Multiply: before")
	wantError(t, c.Call("Arith.Multiply", Args{2, 3}, &n), "panic in Arith.Multiply: after")
	wantError(t, c.Call("Arith.Multiply", Args{3, 3}, &n), "a Call that it made itself")
	wantError(t, c.Call("Arith.Multiply", Args{4, 3}, &n), "gone")
	if err := c.Call("Arith.Multiply", Args{6, 3}, &n); err != nil || n != 18 {
		t.Error(n, err)
	}
	wantError(t, (<-next)(), "called next after it had returned")
	var q Quotient
	wantError(t, c.Call("Arith.Divide", Args{5, 3}, &q), "recovered: <nil>")
}

// TestHandle publishes functions beside methods.
func TestHandle(t *testing.T) {
	s, addr := serve(t, rpcserver.Config{})
	err := errors.Join(
		rpcserver.Handle(s, "Arith.Add", func(ctx context.Context, args *Args) (int, error) {
			return args.A + args.B, ctx.Err()
		}),
		rpcserver.Handle(s, "Words.Join", func(_ context.Context, words []string) (*string, error) {
			if len(words) == 0 {
				return nil, errors.New("no words")
			}
			all := strings.Join(words, " ")
			return &all, nil
		}),
		rpcserver.Handle(s, "Words.Any", func(_ context.Context, v Any) (Any, error) { return v, nil }),
	)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, addr)
	for range 2 {
		var n int
		if err := c.Call("Arith.Add", Args{2, 3}, &n); err != nil || n != 5 {
			t.Error(n, err)
		}
		var text string
		if err := c.Call("Words.Join", []string{"a", "b"}, &text); err != nil || text != "a b" {
			t.Error(text, err)
		}
		wantError(t, c.Call("Words.Join", []string{}, &text), "no words")
		var v Any
		if err := c.Call("Words.Any", Any{5}, &v); err != nil || v.V != 5 {
			t.Error(v, err)
		}
	}
	wantError(t, c.Call("Words.None", 1, new(int)), "rpc: can't find method Words.None")
	double := func(_ context.Context, n int) (int, error) { return 2 * n, nil }
	for name, want := range map[string]string{
		"Arith.Multiply": "already registered", "Words.Join": "already registered",
		"Add": "Service.Method", ".Add": "Service.Method", "Arith.": "Service.Method", "_rollcall.Ping": "reserved",
	} {
		wantError(t, rpcserver.Handle(s, name, double), want)
	}
	wantError(t, rpcserver.Handle[int, int](s, "A.B", nil), "nil")
	wantError(t, s.RegisterName("Words", newArith()), "already registered")
	if rpc.ErrShutdown == nil || s.Stats().Panics > 0 {
		t.Error(s.Stats())
	}
}

// TestErrorWithoutATextIsNoReply: net/rpc answers it with the reply, which nothing has written.
func TestErrorWithoutATextIsNoReply(t *testing.T) {
	s, addr := through(t, func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		if call.Method == "Arith.Multiply" {
			return errors.New("")
		}
		return next(ctx, call)
	})
	if err := rpcserver.Handle(s, "Mute.Do", func(context.Context, int) (int, error) { return 1, errors.New("") }); err != nil {
		t.Fatal(err)
	}
	c := dial(t, addr)
	wantError(t, c.Call("Arith.Multiply", Args{2, 3}, new(int)), "Arith.Multiply returned an error without a text")
	wantError(t, c.Call("Mute.Do", 1, new(int)), "Mute.Do returned an error without a text")
}
