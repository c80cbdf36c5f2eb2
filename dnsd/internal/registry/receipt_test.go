package registry_test

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestReceiptsSayWhatWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{
			Probe: func(context.Context, string) error { return syscall.ECONNREFUSED },
		})
		ctx, in := t.Context(), math("a1")
		in.Incarnation = 7
		heavier := in
		heavier.Weight++
		for _, step := range []struct {
			name      string
			do        func() (registry.Receipt, error)
			did       registry.Did
			revision  uint64
			expiresIn time.Duration
		}{
			{"register", func() (registry.Receipt, error) { return r.Register(ctx, in) }, registry.Created, 1, 15 * time.Second},
			{"register again", func() (registry.Receipt, error) { return r.Register(ctx, in) }, registry.Renewed, 1, 15 * time.Second},
			{"register heavier", func() (registry.Receipt, error) { return r.Register(ctx, heavier) }, registry.Changed, 2, 15 * time.Second},
			{"renew", func() (registry.Receipt, error) { return r.Renew(ctx, in.Key, 7) }, registry.Renewed, 2, 15 * time.Second},
			{"drain", func() (registry.Receipt, error) { time.Sleep(5 * time.Second); return r.Drain(ctx, in.Key, true) }, registry.Changed, 3, 10 * time.Second},
			{"drain again", func() (registry.Receipt, error) { return r.Drain(ctx, in.Key, true) }, registry.Nothing, 3, 10 * time.Second},
			{"deregister", func() (registry.Receipt, error) { return r.Deregister(ctx, in.Key, nil) }, registry.Removed, 4, 0},
			{"undrain", func() (registry.Receipt, error) { return r.Undrain(ctx, in.Key) }, registry.Forgotten, 4, 0},
			{"unfence", func() (registry.Receipt, error) { return r.Unfence(ctx, in.Key) }, registry.Forgotten, 4, 0},
			{"register after", func() (registry.Receipt, error) { return r.Register(ctx, in) }, registry.Created, 5, 15 * time.Second},
			{"undrain none", func() (registry.Receipt, error) { return r.Undrain(ctx, in.Key) }, registry.Nothing, 5, 15 * time.Second},
			{"release none", func() (registry.Receipt, error) { return r.ReleaseGuard(""), nil }, registry.Nothing, 5, 0},
			{"lose another", func() (registry.Receipt, error) { return r.ConnectionLost(ctx, in.Key, 6), nil }, registry.Nothing, 5, 15 * time.Second},
			{"lose", func() (registry.Receipt, error) { return r.ConnectionLost(ctx, in.Key, 7), nil }, registry.Removed, 6, 0},
			{"lose again", func() (registry.Receipt, error) { return r.ConnectionLost(ctx, in.Key, 7), nil }, registry.Nothing, 6, 0},
		} {
			done, err := step.do()
			if err != nil || done.Did != step.did || done.Revision != step.revision || done.ExpiresIn.Round(time.Second) != step.expiresIn {
				t.Fatalf("%s: %+v, %v; want %v at revision %d, %v left", step.name, done, err, step.did, step.revision, step.expiresIn)
			}
		}
	})
}
