package shed_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/rpcserver/shed"
)

var errMethod = errors.New("of the method")

// TestCallsBeyondTheLimitAreRefused, and each way in which a call ends makes room again.
func TestCallsBeyondTheLimitAreRefused(t *testing.T) {
	l := shed.New(shed.Config{Least: 2, Most: 2})
	call := new(rpcserver.Call)
	ends := map[string]rpcserver.Handler{
		"nil":   func(context.Context, *rpcserver.Call) error { return nil },
		"error": func(context.Context, *rpcserver.Call) error { return errMethod },
		"panic": func(context.Context, *rpcserver.Call) error { panic("of the method") },
	}
	for name, end := range ends {
		func() {
			defer func() { _ = recover() }()
			err := l.Middleware(t.Context(), call, func(ctx context.Context, call *rpcserver.Call) error {
				return l.Middleware(ctx, call, func(ctx context.Context, call *rpcserver.Call) error {
					never := func(context.Context, *rpcserver.Call) error {
						t.Error("a third call was executed")
						return nil
					}
					if err := l.Middleware(ctx, call, never); err == nil || errors.Is(err, errMethod) {
						t.Errorf("a third call: %v", err)
					}
					if st := l.Stats(); st.InFlight != 2 || st.Limit != 2 {
						t.Errorf("%+v", st)
					}
					return end(ctx, call)
				})
			})
			if (err != nil) != (name == "error") {
				t.Errorf("%s: %v", name, err)
			}
		}()
		if st := l.Stats(); st.InFlight != 0 {
			t.Errorf("%s: %+v", name, st)
		}
	}
	if st := l.Stats(); st.Refused != uint64(len(ends)) {
		t.Errorf("%+v", st)
	}
}
