package registrytest

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// leasesBeginAgain: after a restart every instance is published, unconfirmed, for a
// whole lease. Its drain and its metadata are as before.
func (s Suite) leasesBeginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		r, stop := s.run(t, store, registry.Config{})
		in := example("a1")
		in.Meta = map[string]string{"version": "1.2"}
		mustRegister(t, r, in)
		mustRegister(t, r, example("a2"))
		if _, err := r.Drain(t.Context(), example("a2").Key, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second) // nearly the whole lease
		stop()
		time.Sleep(time.Hour)

		r, stop = s.run(t, store, registry.Config{})
		defer stop()
		a1, ok := r.Instance(in.Key)
		if !ok || a1.State != registry.Unconfirmed || a1.ExpiresIn != 15*time.Second || a1.Meta["version"] != "1.2" {
			t.Errorf("after the restart a1 is %+v, %v", a1, ok)
		}
		if a2, _ := r.Instance(example("a2").Key); a2.Instance == nil || a2.State != registry.Drained {
			t.Errorf("after the restart a2 is %+v", a2)
		}
		before := r.Revision()
		if done, err := r.Renew(t.Context(), in.Key, 0); err != nil || done.Did != registry.Renewed || done.Instance.State != registry.Up || r.Revision() != before {
			t.Errorf("Renew = %+v, %v, at revision %d after %d; want a renewal of an instance that is up", done, err, r.Revision(), before)
		}
		time.Sleep(14 * time.Second)
		if l, ok := r.Instance(in.Key); !ok || l.State != registry.Up {
			t.Error("removed before its lease ended")
		}
		time.Sleep(2*time.Second + 15*time.Second) // one more lease, because the service is small
		synctest.Wait()
		if _, ok := r.Instance(in.Key); ok {
			t.Error("still there after its lease")
		}
	})
}

// fencesAcrossRestarts: a process that was replaced or removed cannot register again.
func (s Suite) fencesAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		r, stop := s.run(t, store, registry.Config{})
		live, gone := example("live"), example("gone")
		live.Incarnation, gone.Incarnation = 7, 9
		mustRegister(t, r, live)
		mustRegister(t, r, gone)
		if _, err := r.Deregister(t.Context(), gone.Key, nil); err != nil {
			t.Fatal(err)
		}
		stop()

		r, stop = s.run(t, store, registry.Config{})
		defer stop()
		for _, in := range []registry.Instance{live, gone} {
			floor := in.Incarnation
			in.Incarnation--
			_, err := r.Register(t.Context(), in)
			if fenced := (*registry.FencedError)(nil); !errors.As(err, &fenced) || fenced.Live != floor {
				t.Errorf("%v of an older process: %v, want fenced by %d", in.Key, err, floor)
			}
			in.Incarnation++
			if _, err := r.Register(t.Context(), in); err != nil {
				t.Errorf("%v itself: %v", in.Key, err)
			}
		}
	})
}

// revisionsGrowOverRestarts: no revision is given out twice, and a client that remembers
// a revision of an earlier life has to read everything again.
func (s Suite) revisionsGrowOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		highest := uint64(0)
		var before []registry.Position
		for life := range 5 {
			r, stop := s.run(t, store, registry.Config{})
			if life > 0 && r.Revision() <= highest {
				t.Fatalf("life %d begins at %d, %d was given out", life, r.Revision(), highest)
			}
			for _, p := range before {
				if _, err := r.Watch("", &p); !errors.Is(err, registry.ErrCompacted) {
					t.Errorf("Watch from %v in another life: %v, want ErrCompacted", p, err)
				}
				if _, err := r.Watch("", at(r, p.Revision)); !errors.Is(err, registry.ErrCompacted) {
					t.Errorf("Watch from %v of this life, which began later: %v, want ErrCompacted", p, err)
				}
			}
			if l, ok := r.Instance(example("a0").Key); ok != (life > 0) || ok && l.Revision != r.Revision() {
				t.Errorf("life %d at revision %d: %+v, %v", life, r.Revision(), l.Instance, ok)
			}
			before = append(before, r.At(r.Revision()))
			for i := range 5 * (life % 2) { // every other life changes nothing
				mustRegister(t, r, example(fmt.Sprintf("b%d%d", life, i)))
			}
			if life == 0 {
				mustRegister(t, r, example("a0"))
			}
			highest = r.Revision()
			before = append(before, r.At(highest))
			stop()
		}
	})
}

// revisionToBeginAt: Config.Revision raises the revision of this life and of the next.
func (s Suite) revisionToBeginAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		r, stop := s.run(t, store, registry.Config{})
		mustRegister(t, r, example("a1"))
		stop()
		const begin = 1 << 24 // more than the distance that a life keeps from the one before
		r, stop = s.run(t, store, registry.Config{Revision: begin})
		if r.Revision() != begin {
			t.Errorf("begins at %d, want %d", r.Revision(), begin)
		}
		mustRegister(t, r, example("a2"))
		stop()
		r, stop = s.run(t, store, registry.Config{Revision: 1 << 40}) // as from a clock that is wrong
		defer stop()
		if got := r.Revision(); got <= begin+1 || got > 2*begin {
			t.Errorf("begins at %d, want a little above %d", got, begin+1)
		}
	})
}

// Tests: suite_test.go.
