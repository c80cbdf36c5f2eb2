package registrytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Store opens a store. Each call opens the same store again. The backend that the call
// before returned is closed by then.
type Store func() (registry.Backend, error)

// Suite checks what registry.Backend promises.
type Suite struct {
	// Fresh makes an empty store that lasts as long as the test.
	Fresh func(testing.TB) Store
	// FreshFile makes an empty store that is in one file, and returns its path too. It
	// is nil for a store that is not in one file.
	FreshFile func(testing.TB) (Store, string)
	// Volatile says that the store forgets everything when it is closed, as
	// registry.Memory does. The suite leaves out the tests of what survives.
	Volatile bool
}

// Run runs all tests.
func (s Suite) Run(t *testing.T) {
	t.Run("FreshIsEmpty", s.freshIsEmpty)
	t.Run("FailedCommitChangesNothing", s.failedCommitChangesNothing)
	t.Run("ConcurrentWriters", s.concurrentWriters)
	t.Run("Model", s.model)
	if !s.Volatile {
		t.Run("LoadsWhatWasCommitted", s.loadsWhatWasCommitted)
		t.Run("LeasesBeginAgain", s.leasesBeginAgain)
		t.Run("FencesAcrossRestarts", s.fencesAcrossRestarts)
		t.Run("DebtIsStoredLater", s.debtIsStoredLater)
		t.Run("RevisionsGrowOverRestarts", s.revisionsGrowOverRestarts)
		t.Run("RevisionToBeginAt", s.revisionToBeginAt)
	}
	t.Run("Lives", s.lives) // it takes the longest
}

func (s Suite) freshIsEmpty(t *testing.T) {
	b := s.open(t, s.Fresh(t))
	defer b.Close()
	got := load(t, b)
	if got.revision != 0 || len(got.instances) != 0 || len(got.fences) != 0 {
		t.Errorf("a fresh store holds %+v", got)
	}
}

// loadsWhatWasCommitted: after any batches, Load returns everything that was committed.
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

// concurrentWriters: what was acknowledged to many clients at once is there.
func (s Suite) concurrentWriters(t *testing.T) {
	store := s.Fresh(t)
	r, stop := s.run(t, store, registry.Config{})
	m := &Mirror{TB: t}
	r.Attach(m)
	want := writeConcurrently(t, r)
	now := m.Instances()
	for k, rev := range want {
		if in := now[k]; in == nil || in.Revision != rev {
			t.Errorf("sink: %v is %+v, acknowledged at %d", k, in, rev)
		}
		if l, ok := r.Instance(k); !ok || l.Revision != rev {
			t.Errorf("registry: %v is %+v, acknowledged at %d", k, l.Instance, rev)
		}
	}
	if n := r.Stats().Instances; n != len(want) || len(now) != n {
		t.Errorf("%d instances, %d in the sink, %d acknowledged", n, len(now), len(want))
	}
	revision := r.Revision()
	stop()
	if s.Volatile {
		return
	}
	r, stop = s.run(t, store, registry.Config{})
	defer stop()
	for k := range want {
		if _, ok := r.Instance(k); !ok {
			t.Errorf("after a restart: %v is lost", k)
		}
	}
	if n := r.Stats().Instances; n != len(want) || r.Revision() <= revision {
		t.Errorf("after a restart: %d instances at revision %d; want %d, above revision %d", n, r.Revision(), len(want), revision)
	}
}

// writeConcurrently registers, renews and deregisters from many goroutines, and returns
// what was acknowledged: the revision of each instance that is registered at the end.
func writeConcurrently(t *testing.T, r *registry.Registry) map[registry.Key]uint64 {
	const writers, rounds = 16, 20
	acknowledged := make([]map[registry.Key]uint64, writers)
	var wg sync.WaitGroup
	for w := range writers {
		acknowledged[w] = map[registry.Key]uint64{}
		wg.Go(func() {
			for i := range rounds {
				in := example(fmt.Sprintf("w%d-%d", w, i%7))
				if i%3 == 2 {
					if _, err := r.Deregister(t.Context(), in.Key, nil); err == nil {
						delete(acknowledged[w], in.Key)
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
				acknowledged[w][in.Key] = done.Revision
				if _, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: in.Key}}); err != nil {
					t.Errorf("renew: %v", err)
				}
			}
		})
	}
	wg.Wait()
	all := map[registry.Key]uint64{}
	for _, some := range acknowledged {
		maps.Copy(all, some)
	}
	return all
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

// fataler and tester are methods that a testing.TB and a *rapid.T have in common.
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

// Tests: suite_test.go.
