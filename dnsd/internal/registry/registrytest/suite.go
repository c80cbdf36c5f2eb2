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
	if s.Volatile {
		return
	}
	t.Run("LoadsWhatWasCommitted", s.loadsWhatWasCommitted)
	t.Run("LeasesBeginAnew", s.leasesBeginAnew)
	t.Run("FencesAcrossRestarts", s.fencesAcrossRestarts)
	t.Run("HistoryAcrossRestarts", s.historyAcrossRestarts)
	t.Run("RevisionFloor", s.revisionFloor)
}

func (s Suite) freshIsEmpty(t *testing.T) {
	b := s.open(t, s.Fresh(t))
	defer b.Close()
	got := load(t, b)
	if got.revision != 0 || len(got.instances) != 0 || len(got.history) != 0 || len(got.fences) != 0 {
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
				want.history = append(want.history, c)
				if c.New == nil {
					delete(want.instances, c.Key())
				} else {
					want.instances[c.Key()] = *c.New
				}
			}
			if n := len(want.history); n > 0 && rapid.Bool().Draw(rt, "forget") {
				i := rapid.IntRange(0, n-1).Draw(rt, "up to")
				batch.Forget = want.history[i].Revision
				want.history = want.history[i+1:]
			}
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
		if out, err := r.Renew(t.Context(), in.Key, 0); err != nil || out.State != registry.Up || r.Revision() != before {
			t.Errorf("renewed it is %+v, %v, at revision %d after %d", out, err, r.Revision(), before)
		}
		time.Sleep(14 * time.Second)
		if _, ok := r.Instance(in.Key); !ok {
			t.Error("gone before its lease ended")
		}
		time.Sleep(2 * time.Second)
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
		if err := r.Deregister(t.Context(), gone.Key, nil); err != nil {
			t.Fatal(err)
		}
		stop()

		r, stop = s.run(t, store, registry.Config{})
		defer stop()
		for _, in := range []registry.Instance{live, gone} {
			floor := in.Incarnation
			in.Incarnation--
			_, _, err := r.Register(t.Context(), in)
			if fenced := (*registry.FencedError)(nil); !errors.As(err, &fenced) || fenced.Live != floor {
				t.Errorf("%v of an older process: %v, want fenced by %d", in.Key, err, floor)
			}
			in.Incarnation++
			if _, _, err := r.Register(t.Context(), in); err != nil {
				t.Errorf("%v itself: %v", in.Key, err)
			}
		}
	})
}

// historyAcrossRestarts: who watched resumes, and misses nothing.
func (s Suite) historyAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		r, stop := s.run(t, store, registry.Config{})
		for i := range 20 {
			mustRegister(t, r, example(fmt.Sprintf("a%02d", i)))
		}
		stop()
		r, stop = s.run(t, store, registry.Config{})
		defer stop()
		if r.Revision() != 20 {
			t.Fatalf("revision %d after the restart, want 20", r.Revision())
		}
		mustRegister(t, r, example("a20"))
		w, err := r.Watch("_math._tcp", at(r, 5))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		var seen []uint64
		for len(seen) < 16 {
			events, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				seen = append(seen, e.Revision)
			}
		}
		for i, rev := range seen {
			if rev != uint64(6+i) {
				t.Fatalf("resumed after 5, seen %v", seen)
			}
		}
	})
}

// revisionFloor: a registry told to begin higher does, and its history begins
// there.
func (s Suite) revisionFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s.Fresh(t)
		r, stop := s.run(t, store, registry.Config{})
		mustRegister(t, r, example("a1"))
		stop()
		r, stop = s.run(t, store, registry.Config{Revision: 1000})
		mustRegister(t, r, example("a2"))
		if _, err := r.Watch("", at(r, 1)); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("Watch over the gap: %v, want ErrCompacted", err)
		}
		stop()
		r, stop = s.run(t, store, registry.Config{})
		defer stop()
		if r.Revision() != 1001 {
			t.Errorf("revision %d, want 1001", r.Revision())
		}
	})
}

// failedCommitChangesNothing: what could not be stored was not done, and the
// registry goes on.
func (s Suite) failedCommitChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &failing{Backend: s.open(t, s.Fresh(t))}
		r, stop := s.run(t, func() (registry.Backend, error) { return b, nil }, registry.Config{})
		defer stop()
		m := &Mirror{TB: t}
		defer r.Attach(m)()
		a1, a2 := example("a1"), example("a2")
		mustRegister(t, r, a1)

		b.set(registry.ErrNoSpace)
		heavier := a1
		heavier.Weight++
		_, _, errChange := r.Register(t.Context(), heavier)
		_, _, errNew := r.Register(t.Context(), a2)
		_, errDrain := r.Drain(t.Context(), a1.Key, false)
		errGone := r.Deregister(t.Context(), a1.Key, nil)
		for i, err := range []error{errChange, errNew, errDrain, errGone} {
			if !errors.Is(err, registry.ErrNoSpace) {
				t.Errorf("%d: %v, want ErrNoSpace", i, err)
			}
		}
		v, _ := r.Service(a1.Service)
		if len(v.Instances) != 1 || v.Instances[0].Weight != a1.Weight || v.Instances[0].State != registry.Up || r.Revision() != 1 || m.Revision() != 1 {
			t.Errorf("something changed: %+v at %d, sinks at %d", v, r.Revision(), m.Revision())
		}
		if _, err := r.Renew(t.Context(), a1.Key, 0); err != nil {
			t.Errorf("renewals need no space: %v", err)
		}
		time.Sleep(20 * time.Second) // the lease ends, but that cannot be stored
		synctest.Wait()
		if _, ok := r.Instance(a1.Key); !ok || m.Revision() != 1 {
			t.Error("expired without having been stored")
		}
		b.set(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, ok := r.Instance(a1.Key); ok || m.Revision() != 2 {
			t.Error("not expired although there is space again")
		}
		if _, created, err := r.Register(t.Context(), a2); err != nil || !created {
			t.Errorf("with space again: %v, %v", created, err)
		}
	})
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
					if err := r.Deregister(t.Context(), in.Key, nil); err == nil {
						delete(want[w], in.Key)
					} else if !errors.Is(err, registry.ErrNotFound) {
						t.Errorf("deregister: %v", err)
					}
					continue
				}
				in.Weight = uint16(i)
				out, _, err := r.Register(t.Context(), in)
				if err != nil {
					t.Errorf("register: %v", err)
					continue
				}
				want[w][in.Key] = out.Revision
				if _, _, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: in.Key}}); err != nil {
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
				if in, ok := have(k); !ok || in.Revision != rev {
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
	if r.Revision() != revision {
		t.Errorf("revision %d after the restart, %d before", r.Revision(), revision)
	}
}

// run opens a registry on the store and runs it until stop.
func (s Suite) run(tb testing.TB, store Store, cfg registry.Config) (r *registry.Registry, stop func()) {
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

type fataler interface {
	Helper()
	Fatal(...any)
}

func (s Suite) open(tb fataler, store Store) registry.Backend {
	tb.Helper()
	b, err := store()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
