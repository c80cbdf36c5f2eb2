package registry_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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
			{"release none", func() (registry.Receipt, error) { return r.ReleaseGuard(ctx, "") }, registry.Nothing, 5, 0},
			{"lose another", func() (registry.Receipt, error) { return r.ConnectionLost(ctx, in.Key, 6) }, registry.Nothing, 5, 15 * time.Second},
			{"lose", func() (registry.Receipt, error) { return r.ConnectionLost(ctx, in.Key, 7) }, registry.Removed, 6, 0},
			{"lose again", func() (registry.Receipt, error) { return r.ConnectionLost(ctx, in.Key, 7) }, registry.Nothing, 6, 0},
		} {
			done, err := step.do()
			if err != nil || done.Did != step.did || done.Revision != step.revision || done.ExpiresIn.Round(time.Second) != step.expiresIn {
				t.Fatalf("%s: %+v, %v; want %v at revision %d, %v left", step.name, done, err, step.did, step.revision, step.expiresIn)
			}
		}
	})
}

// TestEveryChangeHasOneReceipt: writers race for a few keys, and the store fails now and
// then. Each change that a sink gets is in the receipt of exactly one write, which says
// what it was, and no receipt tells of a change that was not made.
func TestEveryChangeHasOneReceipt(t *testing.T) {
	var commits atomic.Int64
	r, _ := start(t, registry.Config{Backend: sometimesFull{registry.Memory(), &commits}, Guard: registry.Guard{NoProbe: true}})
	var made changes
	r.Attach(&made)
	var mu sync.Mutex
	claimed := map[uint64]registry.Receipt{}
	claim := func(what string, done registry.Receipt, err error) {
		in := done.Instance
		if in != nil && done.Did != registry.Removed && (done.ExpiresIn <= 0 || done.ExpiresIn > in.Lease) {
			t.Errorf("%s: %v left of a lease of %v", what, done.ExpiresIn, in.Lease)
		}
		switch done.Did {
		case registry.Created, registry.Changed, registry.Removed:
			mu.Lock()
			defer mu.Unlock()
			if other, twice := claimed[done.Revision]; twice {
				t.Errorf("revision %d is in two receipts: %+v and %+v", done.Revision, other, done)
			}
			claimed[done.Revision] = done
		case registry.Renewed:
			if err != nil || in == nil || done.Revision != in.Revision || done.ExpiresIn != in.Lease {
				t.Errorf("%s: %+v, %v", what, done, err)
			}
		case registry.Nothing:
			if err == nil && (in == nil || done.Revision != in.Revision) {
				t.Errorf("%s: %+v", what, done)
			}
		}
		if err != nil && done.Did != registry.Nothing && done.Did != registry.Removed {
			t.Errorf("%s: %+v with the error %v", what, done, err)
		}
	}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			ctx := t.Context()
			for range 400 {
				in := math(fmt.Sprintf("a%d", rand.IntN(4)))
				switch rand.IntN(6) {
				case 0, 1:
					in.Weight = uint16(rand.IntN(3))
					done, err := r.Register(ctx, in)
					claim("register", done, err)
				case 2:
					done, err := r.Deregister(ctx, in.Key, nil)
					claim("deregister", done, err)
				case 3:
					done, err := r.Renew(ctx, in.Key, 0)
					claim("renew", done, err)
				case 4:
					done, err := r.Drain(ctx, in.Key, false)
					claim("drain", done, err)
				case 5:
					done, err := r.Undrain(ctx, in.Key)
					claim("undrain", done, err)
				}
			}
		})
	}
	writers.Wait()
	if len(made) < 100 {
		t.Errorf("only %d changes", len(made))
	}
	for _, c := range made {
		done, ok := claimed[c.Revision]
		delete(claimed, c.Revision)
		did, in := registry.Changed, c.New
		switch {
		case c.Old == nil:
			did = registry.Created
		case c.New == nil:
			did, in = registry.Removed, c.Old
		}
		if !ok || done.Did != did || done.Instance != in {
			t.Errorf("revision %d %v %s: receipt %+v", c.Revision, did, in.Key, done)
		}
	}
	for _, done := range claimed {
		t.Errorf("no change has this receipt: %+v", done)
	}
}

// changes is a sink that remembers all changes.
type changes []registry.Change

func (c *changes) Load(uint64, iter.Seq[*registry.Instance], []registry.Change) {}

func (c *changes) Apply(all []registry.Change) { *c = append(*c, all...) }

// sometimesFull refuses every tenth commit.
type sometimesFull struct {
	registry.Backend
	commits *atomic.Int64
}

func (b sometimesFull) Commit(batch *registry.Batch) error {
	time.Sleep(100 * time.Microsecond) // the next batch gathers
	if b.commits.Add(1)%10 == 0 {
		return errors.New("no space")
	}
	return b.Backend.Commit(batch)
}
