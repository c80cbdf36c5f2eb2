package registry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

// sharedStore is what several registries share: the batches that were committed.
type sharedStore struct {
	life    registry.Life
	mu      sync.Mutex // guards batches: leases end while the test sleeps
	batches []*registry.Batch
	over    atomic.Bool
	failure atomic.Pointer[error]
}

// fail is the outcome of each commit from now on; of ErrNoSpace, only of one that adds
// something.
func (s *sharedStore) fail(err error) { s.failure.Store(&err) }

// Commit implements registry.Term.
func (s *sharedStore) Commit(b *registry.Batch) error {
	adds := slices.ContainsFunc(b.Changes, func(c registry.Change) bool { return c.New != nil }) || len(b.Changes) == 0
	if err := s.failure.Load(); err != nil && *err != nil && (adds || !errors.Is(*err, registry.ErrNoSpace)) {
		return *err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, &registry.Batch{Revision: b.Revision, Changes: copies(b.Changes), Fences: slices.Clone(b.Fences)})
	return nil
}

// had are the batches that were committed so far.
func (s *sharedStore) had() []*registry.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// Valid implements registry.Term.
func (s *sharedStore) Valid() bool { return !s.over.Load() }

// copies are the changes as they come out of a store: no pointer is shared, and none
// says what was there before.
func copies(changes []registry.Change) []registry.Change {
	out := make([]registry.Change, len(changes))
	for i, c := range changes {
		out[i] = registry.Change{Revision: c.Revision, Time: c.Time}
		if c.New != nil {
			in, err := registry.NewRecord(c.New).Instance()
			if err != nil {
				panic(err)
			}
			out[i].New = in
		} else {
			out[i].Old = &registry.Instance{Key: c.Key()}
		}
	}
	return out
}

// empty is the content of a store that was just made.
func empty(life registry.Life, revision uint64) registry.Content {
	return registry.Content{Life: life, Snapshot: registry.Snapshot{
		Revision:  revision,
		Instances: func(func(*registry.Instance, error) bool) {},
		Fences:    func(func(registry.Fence, error) bool) {},
	}}
}

// leading starts a registry that shares a store, and makes it the writer.
func leading(t *testing.T, s *sharedStore) (*registry.Registry, *registrytest.Mirror) {
	t.Helper()
	r, m := start(t, registry.Config{Follow: true})
	life, first := r.NewLife(0)
	s.life = life
	if err := r.Reset(empty(life, first)); err != nil {
		t.Fatal(err)
	}
	r.Lead(s)
	return r, m
}

func TestFollowerRefusesEveryWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		r, m := leading(t, &s)
		register(t, r, math("a1"))
		r.Yield()
		key, ctx := math("a1").Key, t.Context()
		none := uint64(0)
		for name, write := range map[string]func() error{
			"Register a new one":  func() error { _, err := r.Register(ctx, math("a2")); return err },
			"Register the same":   func() error { _, err := r.Register(ctx, math("a1")); return err },
			"Renew":               func() error { _, err := r.Renew(ctx, key, 0); return err },
			"RenewAll":            func() error { _, err := r.RenewAll(ctx, []registry.Renewal{{Key: key}}); return err },
			"Deregister":          func() error { _, err := r.Deregister(ctx, key, &none); return err },
			"Drain":               func() error { _, err := r.Drain(ctx, key, false); return err },
			"Undrain":             func() error { _, err := r.Undrain(ctx, key); return err },
			"Unfence":             func() error { _, err := r.Unfence(ctx, key); return err },
			"ReleaseGuard":        func() error { _, err := r.ReleaseGuard(ctx, ""); return err },
			"ConnectionLost":      func() error { _, err := r.ConnectionLost(ctx, key, 0); return err },
			"Skip":                func() error { _, err := r.Skip(ctx); return err },
			"Adopt from a leader": func() error { _, err := r.Adopt(ctx, memory(t)); return err },
		} {
			if err := write(); !errors.Is(err, registry.ErrNotWriter) {
				t.Errorf("%s: %v, want ErrNotWriter", name, err)
			}
		}
		time.Sleep(time.Hour)
		if got := published(m); got != "_math._tcp/a1 up 10:100" {
			t.Errorf("after an hour without a writer:\n%s", got)
		}
	})
}

// memory is a registry with one instance, of a store of its own.
func memory(t *testing.T) *registry.Registry {
	r, _ := start(t, registry.Config{})
	register(t, r, math("a9"))
	return r
}

// TestNothingIsAcknowledgedAfterTheTerm: a writer that was stopped and comes back does not
// know yet that another leads.
func TestNothingIsAcknowledgedAfterTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		r, _ := leading(t, &s)
		register(t, r, math("a1"))
		s.over.Store(true)
		if _, err := r.Renew(t.Context(), math("a1").Key, 0); !errors.Is(err, registry.ErrNotWriter) {
			t.Errorf("a renewal: %v", err)
		}
		if _, err := r.Register(t.Context(), math("a1")); !errors.Is(err, registry.ErrNotWriter) {
			t.Errorf("a registration of what is registered: %v", err)
		}
		if _, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: math("a1").Key}}); !errors.Is(err, registry.ErrNotWriter) {
			t.Errorf("a batch of renewals: %v", err)
		}
		time.Sleep(time.Hour)
		if n := r.Stats(); n.Instances != 1 || n.Expired != 0 {
			t.Errorf("it expired an instance after its term: %+v", n)
		}
	})
}

// TestNewTermIsLikeARestart: every lease begins again, and unconfirmed.
func TestNewTermIsLikeARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		r, _ := leading(t, &s)
		register(t, r, math("a1"))
		register(t, r, math("a2"))
		if _, err := r.Drain(t.Context(), math("a2").Key, false); err != nil {
			t.Fatal(err)
		}
		before := r.Revision()
		time.Sleep(lease - time.Second)
		r.Yield()
		time.Sleep(time.Hour)
		synctest.Wait()
		r.Lead(&s)
		a1, ok := r.Instance(math("a1").Key)
		if !ok || a1.State != registry.Unconfirmed || a1.ExpiresIn != lease {
			t.Errorf("a1 is %+v, %t", a1, ok)
		}
		if a2, ok := r.Instance(math("a2").Key); !ok || a2.State != registry.Drained {
			t.Errorf("a2 is %+v, %t", a2, ok)
		}
		if st := r.Stats(); st.Unconfirmed != 1 || st.Up != 0 || st.Drained != 1 || r.Revision() != before {
			t.Errorf("%+v", st)
		}
		renew(t, r, "a1")
		if st := r.Stats(); st.Unconfirmed != 0 || st.Up != 1 {
			t.Errorf("after the renewal: %+v", st)
		}
		keep(t, r, lease, "a1")
		time.Sleep(2 * lease)
		synctest.Wait()
		if st := r.Stats(); st.Instances != 0 || r.Revision() != before+2+st.Reprieved {
			t.Errorf("after the leases: %+v, revision %d", st, r.Revision()-before)
		}
	})
}

// TestFailedCommitOfASharedStore: what is not stored is not published, removals included,
// because other registries would publish something else at the same revision.
func TestFailedCommitOfASharedStore(t *testing.T) {
	for _, failure := range []error{registry.ErrUncertain, registry.ErrNotWriter, errors.New("no majority")} {
		synctest.Test(t, func(t *testing.T) {
			var s sharedStore
			r, m := leading(t, &s)
			register(t, r, math("a1"))
			s.fail(failure)
			at := r.Revision()
			if _, err := r.Deregister(t.Context(), math("a1").Key, nil); !errors.Is(err, failure) {
				t.Errorf("%v: a removal: %v", failure, err)
			}
			if _, err := r.Register(t.Context(), math("a2")); !errors.Is(err, failure) {
				t.Errorf("%v: a registration: %v", failure, err)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(m.Instances()) != 1 || r.Revision() != at || r.Stats().Unstored != 0 {
				t.Errorf("%v: published %v, revision %d after %d", failure, m.Instances(), r.Revision(), at)
			}
			s.fail(nil)
			if _, err := r.Deregister(t.Context(), math("a1").Key, nil); err != nil && !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%v: afterwards: %v", failure, err)
			}
		})
	}
}

// TestRemovalsNeedNoSpace: with a full store nothing is registered, and what leaves
// leaves everywhere.
func TestRemovalsNeedNoSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		r, m := leading(t, &s)
		for _, id := range []string{"a1", "a2", "a3"} {
			register(t, r, math(id))
		}
		s.fail(registry.ErrNoSpace)
		results := make(chan error, 4)
		go func() { _, err := r.Deregister(t.Context(), math("a1").Key, nil); results <- err }()
		go func() { _, err := r.Deregister(t.Context(), math("a2").Key, nil); results <- err }()
		if err := errors.Join(<-results, <-results); err != nil {
			t.Errorf("removals: %v", err)
		}
		if _, err := r.Register(t.Context(), math("a4")); !errors.Is(err, registry.ErrNoSpace) || !errors.Is(err, registry.ErrStore) {
			t.Errorf("a registration: %v", err)
		}
		if _, err := r.Renew(t.Context(), math("a3").Key, 0); err != nil {
			t.Errorf("a renewal: %v", err)
		}
		if r.Sick() == nil {
			t.Error("it is not sick")
		}
		if n := len(m.Instances()); n != 1 {
			t.Errorf("%d instances are published", n)
		}
		s.fail(nil)
		keep(t, r, time.Minute, "a3")
		if r.Sick() != nil {
			t.Errorf("there is space, and it is sick: %v", r.Sick())
		}
		register(t, r, math("a4"))
	})
}

// TestYieldWaitsForTheCommit: whoever leads next may begin when Yield returns.
func TestYieldWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &held{release: make(chan struct{})}
		r, _ := leading(t, &s.sharedStore)
		r.Yield()
		r.Lead(s)
		done := make(chan error, 1)
		go func() { _, err := r.Register(context.Background(), math("a1")); done <- err }()
		synctest.Wait()
		yielded := make(chan struct{})
		go func() { r.Yield(); close(yielded) }()
		synctest.Wait()
		select {
		case <-yielded:
			t.Error("it yielded while a commit was under way")
		default:
		}
		close(s.release)
		<-yielded
		if err := <-done; err != nil {
			t.Errorf("the commit that was under way: %v", err)
		}
		if r.Leads() {
			t.Error("it leads")
		}
	})
}

// held is a term whose commits wait.
type held struct {
	sharedStore
	release chan struct{}
}

func (s *held) Commit(b *registry.Batch) error {
	<-s.release
	return s.sharedStore.Commit(b)
}

// TestRenewalInABatchWithoutSpace: it is not acknowledged if the term ended while the
// store was asked.
func TestRenewalInABatchWithoutSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &held{release: make(chan struct{})}
		r, _ := leading(t, &s.sharedStore)
		register(t, r, math("a1"))
		r.Yield()
		r.Lead(s)
		results := make(chan error, 3)
		changed := math("a1")
		changed.Weight++
		go func() { _, err := r.Register(t.Context(), changed); results <- err }()
		synctest.Wait() // its commit is under way
		go func() { _, err := r.Renew(t.Context(), math("a1").Key, 0); results <- err }()
		go func() { _, err := r.Register(t.Context(), math("a2")); results <- err }()
		synctest.Wait()
		s.release <- struct{}{}
		if err := <-results; err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the commit of the other two is under way
		s.fail(registry.ErrNoSpace)
		s.over.Store(true)
		close(s.release)
		for range 2 {
			if err := <-results; !errors.Is(err, registry.ErrNotWriter) && !errors.Is(err, registry.ErrNoSpace) {
				t.Errorf("%v", err)
			}
		}
	})
}
