package rpcclient

import (
	"context"
	"fmt"
)

// A TypedMethod is a method of a service with the types of its argument and its reply, so
// that a call with other types does not compile. [MethodOf] makes it. It may be copied, and
// used by several clients.
type TypedMethod[A, R any] struct {
	name     string
	settings Method
}

// MethodOf declares a method for calls whose types the compiler checks:
//
//	var Multiply = rpcclient.MethodOf[*Args, int]("Arith.Multiply", rpcclient.Method{Idempotent: true})
//
//	n, err := Multiply.Call(ctx, client, &Args{7, 8})
//
// settings may be left out. They hold for the calls of this variable. It panics if the name
// or the settings have no meaning, which is a mistake in the program.
func MethodOf[A, R any](name string, settings ...Method) TypedMethod[A, R] {
	var m Method
	for _, s := range settings {
		m = s.over(m)
	}
	if err := m.check(name); err != nil {
		panic(fmt.Sprintf("rpcclient: MethodOf(%q): %v", name, err))
	}
	return TypedMethod[A, R]{name, m.bounded()}
}

// Call is [Client.Call] with the reply as its result.
func (m TypedMethod[A, R]) Call(ctx context.Context, c *Client, args A, opts ...CallOption) (R, error) {
	var reply R
	if err := c.callMethod(ctx, m.name, &m.settings, args, &reply, opts); err != nil {
		var zero R
		return zero, err
	}
	return reply, nil
}
