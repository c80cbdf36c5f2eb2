package registrytest

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// failing is a backend whose commits fail while err is set.
type failing struct {
	registry.Backend
	mu  sync.Mutex
	err error // guarded by mu
}

func (f *failing) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Commit(b *registry.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	return f.Backend.Commit(b)
}

// failedCommitChangesNothing: a change that could not be stored is not made, and the
// registry goes on. Only removals are made, and stored later. It is long because it
// follows one outage from its beginning to its end.
func (s Suite) failedCommitChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &failing{Backend: s.open(t, s.Fresh(t))}
		r, stop := s.run(t, func() (registry.Backend, error) { return b, nil }, registry.Config{})
		m := &Mirror{TB: t}
		r.Attach(m)
		a1, a2, a3 := example("a1"), example("a2"), example("a3")
		mustRegister(t, r, a1)
		mustRegister(t, r, a3)
		if r.Sick() != nil || r.Stats().Sick {
			t.Errorf("sick: %v", r.Sick())
		}

		b.set(registry.ErrNoSpace)
		heavier := a1
		heavier.Weight++
		_, errChange := r.Register(t.Context(), heavier)
		_, errNew := r.Register(t.Context(), a2)
		_, errDrain := r.Drain(t.Context(), a1.Key, true)
		for i, err := range []error{errChange, errNew, errDrain, r.Sick()} {
			if !errors.Is(err, registry.ErrNoSpace) {
				t.Errorf("%d: %v, want ErrNoSpace", i, err)
			}
		}
		v, _ := r.Service(a1.Service)
		if len(v.Instances) != 2 || v.Instances[0].Weight != a1.Weight || v.Instances[0].State != registry.Up || r.Revision() != 2 || m.Revision() != 2 {
			t.Errorf("something changed: %+v at %d, sinks at %d", v, r.Revision(), m.Revision())
		}
		if _, err := r.Renew(t.Context(), a1.Key, 0); err != nil {
			t.Errorf("renewals need no space: %v", err)
		}
		for range 2 { // the second one gets the same error
			if _, err := r.Deregister(t.Context(), a3.Key, nil); !errors.Is(err, registry.ErrNoSpace) {
				t.Errorf("Deregister = %v, want it told that it is not stored", err)
			}
		}
		if _, ok := r.Instance(a3.Key); ok || m.Revision() != 3 {
			t.Error("deregistered, and still in the answers")
		}
		time.Sleep(40 * time.Second) // a1's lease ends
		synctest.Wait()
		if _, ok := r.Instance(a1.Key); ok || len(m.Instances()) != 0 || r.Stats().Unstored != 2 || !r.Stats().Sick {
			t.Errorf("dead instances are still in the answers: %v, stats %+v", m.Instances(), r.Stats())
		}
		b.set(nil)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if r.Sick() != nil || r.Stats().Unstored != 0 {
			t.Errorf("with space again it is sick: %v, stats %+v", r.Sick(), r.Stats())
		}
		if _, err := r.Deregister(t.Context(), a3.Key, nil); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Deregister = %v, want ErrNotFound now that it is stored", err)
		}
		if done, err := r.Register(t.Context(), a2); err != nil || done.Did != registry.Created {
			t.Errorf("with space again: Register = %+v, %v", done, err)
		}
		if len(m.Instances()) != 1 {
			t.Errorf("sinks know %v", m.Instances())
		}
		stop()
	})
}

// debtIsStoredLater: a removal that could not be stored is stored as soon as possible. A
// restart before that brings the instance back for a lease.
func (s Suite) debtIsStoredLater(t *testing.T) {
	for _, healed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := s.Fresh(t)
			b := &failing{Backend: s.open(t, store)}
			r, stop := s.run(t, func() (registry.Backend, error) { return b, nil }, registry.Config{})
			in := example("a1")
			in.Incarnation = 7
			mustRegister(t, r, in)
			b.set(registry.ErrNoSpace)
			time.Sleep(40 * time.Second)
			synctest.Wait()
			if r.Stats().Instances != 0 {
				t.Fatal("still in the answers")
			}
			highest := r.Revision()
			if healed {
				b.set(nil)
				time.Sleep(40 * time.Second)
				synctest.Wait()
			}
			stop()
			r, stop = s.run(t, store, registry.Config{})
			defer stop()
			if _, ok := r.Instance(in.Key); ok == healed {
				t.Errorf("healed %v: the instance is there after the restart: %v", healed, ok)
			}
			if r.Revision() <= highest {
				t.Errorf("begins at %d, %d was given out", r.Revision(), highest)
			}
			in.Incarnation = 6
			var fenced *registry.FencedError
			if _, err := r.Register(t.Context(), in); !errors.As(err, &fenced) {
				t.Errorf("healed %v: an old process: %v, want it fenced", healed, err)
			}
		})
	}
}

// Tests: suite_test.go.
