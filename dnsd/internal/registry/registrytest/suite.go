package registrytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Store opens one store. Each call opens the same again; the backend that the
// call before returned has been closed by then.
type Store func() (registry.Backend, error)

// Suite holds a backend to what registry.Backend promises.
type Suite struct {
	// Fresh makes an empty store that lasts as long as the test.
	Fresh func(testing.TB) Store
	// FreshFile, if the store is in one file, makes one and says where it is.
	FreshFile func(testing.TB) (Store, string)
	// Volatile: it forgets everything when closed, as registry.Memory does. The
	// tests of what survives are left out.
	Volatile bool
}

// Run runs all of it.
func (s Suite) Run(t *testing.T) {
	t.Run("FreshIsEmpty", s.freshIsEmpty)
	t.Run("FailedCommitChangesNothing", s.failedCommitChangesNothing)
	t.Run("ConcurrentWriters", s.concurrentWriters)
	t.Run("Model", s.model)
	t.Run("Lives", s.lives)
	if s.Volatile {
		return
	}
	t.Run("LoadsWhatWasCommitted", s.loadsWhatWasCommitted)
	t.Run("LeasesBeginAnew", s.leasesBeginAnew)
	t.Run("FencesAcrossRestarts", s.fencesAcrossRestarts)
	t.Run("DebtIsStoredLater", s.debtIsStoredLater)
	t.Run("RevisionsGrowOverRestarts", s.revisionsGrowOverRestarts)
	t.Run("RevisionToBeginAt", s.revisionToBeginAt)
}

func (s Suite) freshIsEmpty(t *testing.T) {
	b := s.open(t, s.Fresh(t))
	defer b.Close()
	got := load(t, b)
	if got.revision != 0 || len(got.instances) != 0 || len(got.fences) != 0 {
		t.Errorf("a fresh store holds %+v", got)
	}
}

// loadsWhatWasCommitted: after any batches, everything committed is loaded.
func (s Suite) loadsWhatWasCommitted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := s.Fresh(t)
		b := s.open(rt, store)
		defer func() { b.Close() }()
		want := content{instances: map[registry.Key]registry.Instance{}, fences: map[registry.Key]registry.Fence{}}
		load(rt, b)
		wall := time.Unix(1_700_000_000, 0)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if rapid.IntRange(0, 3).Draw(rt, "reopen") == 0 {
				if err := b.Close(); err != nil {
					rt.Fatal(err)
				}
				b = s.open(rt, store)
				if got := load(rt, b); !got.equal(want) {
					rt.Fatalf("loaded\n%+v\ncommitted\n%+v", got, want)
				}
				continue
			}
			var batch registry.Batch
			for range rapid.IntRange(0, 5).Draw(rt, "changes") {
				wall = wall.Add(time.Second)
				c := drawChange(rt, want.instances, want.revision+1, wall)
				batch.Changes = append(batch.Changes, c)
				want.revision++
				if c.New == nil {
					delete(want.instances, c.Key())
				} else {
					want.instances[c.Key()] = *c.New
				}
			}
			batch.Revision = want.revision
			if rapid.Bool().Draw(rt, "fence") {
				f := registry.Fence{
					Key: drawKey(rt), Incarnation: rapid.Uint64Range(0, 3).Draw(rt, "incarnation"),
					Drained: rapid.Bool().Draw(rt, "drained"), Time: wall,
				}
				batch.Fences = append(batch.Fences, f)
				f.Time = time.Time{}
				if f.Empty() {
					delete(want.fences, f.Key)
				} else {
					want.fences[f.Key] = f
				}
			}
			if err := b.Commit(&batch); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// leasesBeginAnew: after a restart everybody is served, unconfirmed, for a whole
// lease; drain and metadata are as they were.
func (s Suite) leasesBeginAnew(t *testing.T) {
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
		time.Sleep(14 * time.Second) // nearly all of it
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
			t.Error("gone before its lease ended")
		}
		time.Sleep(2*time.Second + 15*time.Second) // one more, because the service is small
		synctest.Wait()
		if _, ok := r.Instance(in.Key); ok {
			t.Error("still there after its lease")
		}
	})
}

// fencesAcrossRestarts: who was replaced, or removed, cannot come back.
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

// revisionsGrowOverRestarts: no revision is given out twice, and who remembers
// one of the life before has to read again.
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
			for i := range 5 * (life % 2) { // also a life that changes nothing
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

// revisionToBeginAt: a registry told to begin higher does, also in the next life.
func (s Suite) revisionToBeginAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		r, stop := s.run(t, store, registry.Config{})
		mustRegister(t, r, example("a1"))
		stop()
		const begin = 1 << 24 // above what a life leaves between itself and the one before
		r, stop = s.run(t, store, registry.Config{Revision: begin})
		if r.Revision() != begin {
			t.Errorf("begins at %d, want %d", r.Revision(), begin)
		}
		mustRegister(t, r, example("a2"))
		stop()
		r, stop = s.run(t, store, registry.Config{Revision: 1 << 40}) // a clock that is wrong
		defer stop()
		if got := r.Revision(); got <= begin+1 || got > 2*begin {
			t.Errorf("begins at %d, want a little above %d", got, begin+1)
		}
	})
}

// failedCommitChangesNothing: what could not be stored was not done, and the
// registry goes on. Only who leaves the answers does, and that is stored later.
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
		for range 2 { // it says so again
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
			t.Errorf("the dead are still in the answers: %v, stats %+v", m.Instances(), r.Stats())
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

// debtIsStoredLater: what left the answers while it could not be stored is stored
// as soon as it can be, and a restart before that brings it back for a lease.
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
				t.Errorf("healed %v: it is there after the restart: %v", healed, ok)
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

// concurrentWriters: what was acknowledged to many at once is there.
func (s Suite) concurrentWriters(t *testing.T) {
	store := s.Fresh(t)
	r, stop := s.run(t, store, registry.Config{})
	m := &Mirror{TB: t}
	r.Attach(m)
	const writers, rounds = 16, 20
	want := make([]map[registry.Key]uint64, writers) // acknowledged, with its revision
	var wg sync.WaitGroup
	for w := range writers {
		want[w] = map[registry.Key]uint64{}
		wg.Go(func() {
			for i := range rounds {
				in := example(fmt.Sprintf("w%d-%d", w, i%7))
				if i%3 == 2 {
					if _, err := r.Deregister(t.Context(), in.Key, nil); err == nil {
						delete(want[w], in.Key)
					} else if !errors.Is(err, registry.ErrNotFound) {
						t.Errorf("deregister: %v", err)
					}
					continue
				}
				in.Weight = uint16(i)
				done, err := r.Register(t.Context(), in)
				if err != nil {
					t.Errorf("register: %v", err)
					continue
				}
				want[w][in.Key] = done.Revision
				if _, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: in.Key}}); err != nil {
					t.Errorf("renew: %v", err)
				}
			}
		})
	}
	wg.Wait()
	compare := func(when string, have func(registry.Key) (*registry.Instance, bool), n int) {
		total := 0
		for _, acknowledged := range want {
			total += len(acknowledged)
			for k, rev := range acknowledged {
				if in, ok := have(k); !ok || in.Revision != rev && when != "after a restart" {
					t.Errorf("%s: %v is %+v, acknowledged at %d", when, k, in, rev)
				}
			}
		}
		if n != total {
			t.Errorf("%s: %d instances, %d acknowledged", when, n, total)
		}
	}
	of := func(r *registry.Registry) func(registry.Key) (*registry.Instance, bool) {
		return func(k registry.Key) (*registry.Instance, bool) {
			l, ok := r.Instance(k)
			return l.Instance, ok
		}
	}
	now := m.Instances()
	compare("sink", func(k registry.Key) (*registry.Instance, bool) { in, ok := now[k]; return in, ok }, len(now))
	compare("registry", of(r), r.Stats().Instances)
	revision := r.Revision()
	stop()
	if s.Volatile {
		return
	}
	r, stop = s.run(t, store, registry.Config{})
	defer stop()
	compare("after a restart", of(r), r.Stats().Instances)
	if r.Revision() <= revision {
		t.Errorf("revision %d after the restart, %d before", r.Revision(), revision)
	}
}

// run opens a registry on the store and runs it until stop.
func (s Suite) run(tb tester, store Store, cfg registry.Config) (r *registry.Registry, stop func()) {
	tb.Helper()
	cfg.Backend = s.open(tb, store)
	if cfg.Probe == nil {
		cfg.Probe = func(context.Context, string) error { return errors.New("no route to host") }
	}
	r, err := registry.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := r.Run(ctx); err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	return r, func() {
		cancel()
		run.Wait()
		if err := r.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	}
}

// fataler and tester are what a testing.TB and a *rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(...any)
}

type tester interface {
	fataler
	Errorf(string, ...any)
}

func (s Suite) open(tb fataler, store Store) registry.Backend {
	tb.Helper()
	b, err := store()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
