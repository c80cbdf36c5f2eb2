package peer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestRepeatDoesNotUndoWhatFollowed: the answer is lost, and before the write is sent
// again, another client changes the instance.
func TestRepeatDoesNotUndoWhatFollowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(ctx context.Context, w registry.Writer) (registry.Receipt, error)
		undo   func(ctx context.Context, w registry.Writer) (registry.Receipt, error)
		left   bool // it is registered at the end
		change bool // and its port is that of the other client
	}{
		{"register", func(ctx context.Context, w registry.Writer) (registry.Receipt, error) {
			return w.Register(ctx, another("a1"))
		}, func(ctx context.Context, w registry.Writer) (registry.Receipt, error) {
			return w.Deregister(ctx, key("a1"), nil)
		}, false, false},
		{"deregister", func(ctx context.Context, w registry.Writer) (registry.Receipt, error) {
			return w.Deregister(ctx, key("a1"), nil)
		}, func(ctx context.Context, w registry.Writer) (registry.Receipt, error) {
			return w.Register(ctx, another("a1"))
		}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				if _, err := p.writer.Register(t.Context(), sample("a1")); err != nil {
					t.Fatal(err)
				}
				began := p.own.Revision()
				p.wire.after = func(_ context.Context, n int) error {
					if n > 1 {
						return nil
					}
					if _, err := c.undo(t.Context(), p.writer); err != nil {
						t.Error(err)
					}
					return errors.New("broken pipe")
				}
				if _, err := c.do(t.Context(), p.writes); !errors.Is(err, registry.ErrOvertaken) || errors.Is(err, registry.ErrUncertain) {
					t.Errorf("%v; want ErrOvertaken", err)
				}
				is, ok := p.writer.Instance(key("a1"))
				if ok != c.left || ok && (is.Port == another("a1").Port) != c.change {
					t.Errorf("registered at the end: %t, %+v", ok, is.Instance)
				}
				if len(p.wire.requests) != 2 || p.wire.requests[0][0].since != nil || p.wire.requests[1][0].since == nil || *p.wire.requests[1][0].since != began {
					t.Errorf("the requests: %+v", p.wire.requests)
				}
			})
		})
	}
}

// another is a registration by another client.
func another(id string) registry.Instance {
	in := sample(id)
	in.Port++
	return in
}
