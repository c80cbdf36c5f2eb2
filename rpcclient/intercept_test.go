package rpcclient

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestInterceptorsWrapTheCallAndMayRepeatIt(t *testing.T) {
	s := startStock(t, "")
	var log []string
	note := func(name string) Interceptor {
		return func(ctx context.Context, call *Invocation, next func(context.Context, *Invocation) error) error {
			log = append(log, name+" "+call.Method)
			err := next(ctx, call)
			log = append(log, name+" done")
			return err
		}
	}
	twice := func(ctx context.Context, call *Invocation, next func(context.Context, *Invocation) error) error {
		if err := next(ctx, call); err != nil {
			return err
		}
		call.Args = &Args{5, 5}
		return next(ctx, call)
	}
	c := newClient(t, Config{Interceptors: []Interceptor{note("outer"), note("inner"), twice}}, s.addr)
	var product int
	var node string
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, &product, OnNode(&node)); err != nil || product != 25 || node != s.addr {
		t.Fatal(product, node, err)
	}
	want := []string{"outer Arith.Multiply", "inner Arith.Multiply", "inner done", "outer done"}
	if !slices.Equal(log, want) {
		t.Errorf("got %q", log)
	}
	no := errors.New("not today")
	c = newClient(t, Config{Interceptors: []Interceptor{
		func(context.Context, *Invocation, func(context.Context, *Invocation) error) error { return no },
	}}, s.addr)
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, &product); !errors.Is(err, no) {
		t.Error(err)
	}
}

// TestInterceptorMakesNoMethodIdempotentByAccident, neither by a share of hedges alone
// nor by another name, nor by both.
func TestInterceptorMakesNoMethodIdempotentByAccident(t *testing.T) {
	declared := map[string]Method{"A.Safe": {Idempotent: true, Hedge: 0.1}, "A.Other": {Idempotent: true}}
	for name, tt := range map[string]struct {
		method string
		change func(*Invocation)
		want   Method
	}{
		"nothing":                 {"A.Safe", func(*Invocation) {}, Method{Idempotent: true, Hedge: 0.1}},
		"a share of hedges alone": {"A.Risky", func(c *Invocation) { c.Hedge = 0.1 }, Method{}},
		"too much of it":          {"A.Safe", func(c *Invocation) { c.Hedge = 7 }, Method{Idempotent: true, Hedge: 0.5}},
		"on purpose":              {"A.Risky", func(c *Invocation) { c.Idempotent, c.Hedge = true, 0.2 }, Method{Idempotent: true, Hedge: 0.2}},
		"another name":            {"A.Safe", func(c *Invocation) { c.Method = "A.Risky" }, Method{}},
		"another declared name":   {"A.Safe", func(c *Invocation) { c.Method = "A.Other" }, Method{Idempotent: true}},
		"from a risky to a safe":  {"A.Risky", func(c *Invocation) { c.Method = "A.Safe" }, Method{Idempotent: true, Hedge: 0.1}},
		"another, without hedges": {"A.Safe", func(c *Invocation) { c.Method, c.Hedge = "A.Risky", 0 }, Method{}},
		"another, more hedges":    {"A.Safe", func(c *Invocation) { c.Method, c.Hedge = "A.Risky", 0.2 }, Method{}},
		"declared, more hedges":   {"A.Safe", func(c *Invocation) { c.Method, c.Hedge = "A.Other", 0.2 }, Method{Idempotent: true, Hedge: 0.2}},
		"to a safe, no hedges":    {"A.Risky", func(c *Invocation) { c.Method, c.Idempotent = "A.Safe", true }, Method{Idempotent: true, Hedge: 0.1}},
		"no more":                 {"A.Safe", func(c *Invocation) { c.Idempotent = false }, Method{}},
	} {
		c := newClient(t, Config{Methods: declared, Source: announce()})
		was := c.newCall(tt.method, nil, nil, nil)
		call := &Invocation{Method: tt.method, Idempotent: was.Idempotent, Hedge: was.Hedge}
		tt.change(call)
		if got := was.declared(call); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
