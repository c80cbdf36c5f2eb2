package rpcserver

import (
	"context"
	"fmt"
	"reflect"
	"strings"
)

// Handle publishes a function as the method "Service.Method". The types are checked when the
// program is compiled:
//
//	err := rpcserver.Handle(s, "Arith.Multiply", func(ctx context.Context, args Args) (int, error) {
//		return args.A * args.B, nil
//	})
//
// A client calls it as it calls a method of a receiver. A service may have methods of a
// receiver, registered before, and functions.
func Handle[A, R any](s *Server, name string, f func(ctx context.Context, args A) (R, error)) error {
	if f == nil {
		return fmt.Errorf("rpcserver: handle %s: the function is nil", name)
	}
	m := &method{name: name, arg: reflect.TypeFor[A](), reply: reflect.TypeFor[R](), form: withContext}
	if m.arg.Kind() == reflect.Pointer {
		m.arg, m.argPtr = m.arg.Elem(), true
	}
	m.direct = func(ctx context.Context, args, reply any) error {
		a, ok := args.(A) // A is a pointer
		if !ok || !m.argPtr {
			a = *args.(*A)
		}
		r, err := f(ctx, a)
		if err == nil {
			*reply.(*R) = r
		}
		return err
	}
	return s.services.handle(m)
}

// reserved tells whether a service or method has the name of those of the protocol: with a
// method _rollcall.Ping of the user's no client would know whether the server is alive.
func reserved(name string) bool {
	return name == "_rollcall" || strings.HasPrefix(name, "_rollcall.")
}

// handle publishes one method.
func (t *services) handle(m *method) error {
	dot := strings.LastIndex(m.name, ".")
	switch {
	case dot <= 0 || dot == len(m.name)-1:
		return fmt.Errorf("rpcserver: handle %q: a name has the form Service.Method", m.name)
	case reserved(m.name):
		return fmt.Errorf("rpcserver: handle %s: the name _rollcall is reserved for the protocol: give another one", m.name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if all := t.methods.Load(); all != nil && (*all)[m.name] != nil {
		return fmt.Errorf("rpcserver: handle %s: already registered", m.name)
	}
	t.publishLocked(m.name[:dot], m)
	return nil
}

// Tests: middleware_test.go.
