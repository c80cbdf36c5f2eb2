package kvtest

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// mutant is a store with a fault: what is set replaces a method.
type mutant struct {
	kv.Store
	get       func(ctx context.Context, key string) (*kv.Pair, kv.Header, error)
	ranged    func(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error)
	txn       func(ctx context.Context, t kv.Txn) (kv.Result, error)
	watch     func(ctx context.Context, prefix string, after int64) kv.Watch
	grant     func(ctx context.Context, ttl time.Duration) (kv.Lease, error)
	keepAlive func(ctx context.Context, id kv.LeaseID) error
	revoke    func(ctx context.Context, id kv.LeaseID) error
	closes    func() error
}

func (m *mutant) Get(ctx context.Context, key string) (*kv.Pair, kv.Header, error) {
	if m.get != nil {
		return m.get(ctx, key)
	}
	return m.Store.Get(ctx, key)
}

func (m *mutant) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
	if m.ranged != nil {
		return m.ranged(ctx, prefix, at, each)
	}
	return m.Store.Range(ctx, prefix, at, each)
}

func (m *mutant) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	if m.txn != nil {
		return m.txn(ctx, t)
	}
	return m.Store.Txn(ctx, t)
}

func (m *mutant) Watch(ctx context.Context, prefix string, after int64) kv.Watch {
	if m.watch != nil {
		return m.watch(ctx, prefix, after)
	}
	return m.Store.Watch(ctx, prefix, after)
}

func (m *mutant) Grant(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if m.grant != nil {
		return m.grant(ctx, ttl)
	}
	return m.Store.Grant(ctx, ttl)
}

func (m *mutant) KeepAlive(ctx context.Context, id kv.LeaseID) error {
	if m.keepAlive != nil {
		return m.keepAlive(ctx, id)
	}
	return m.Store.KeepAlive(ctx, id)
}

func (m *mutant) Revoke(ctx context.Context, id kv.LeaseID) error {
	if m.revoke != nil {
		return m.revoke(ctx, id)
	}
	return m.Store.Revoke(ctx, id)
}

func (m *mutant) Close() error {
	if m.closes != nil {
		return m.closes()
	}
	return m.Store.Close()
}

// mutantWatch changes what Next returns.
type mutantWatch struct {
	kv.Watch
	next func(context.Context) (kv.Changes, error)
}

func (w *mutantWatch) Next(ctx context.Context) (kv.Changes, error) { return w.next(ctx) }

// watches makes a mutant whose changes are changed.
func watches(change func(*kv.Changes)) func(*mutant) {
	return func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			w := m.Store.Watch(ctx, prefix, after)
			return &mutantWatch{w, func(ctx context.Context) (kv.Changes, error) {
				c, err := w.Next(ctx)
				change(&c)
				return c, err
			}}
		}
	}
}

// splits makes a mutant that delivers a part of each revision first.
func splits(m *mutant) {
	m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
		w := m.Store.Watch(ctx, prefix, after)
		var rest []kv.Event
		return &mutantWatch{w, func(ctx context.Context) (c kv.Changes, err error) {
			if len(rest) > 0 {
				c.Events, rest = rest, nil
			} else if c, err = w.Next(ctx); len(c.Events) > 1 {
				rest, c.Events = c.Events[1:], c.Events[:1]
			}
			if len(c.Events) > 0 {
				c.Header = kv.Header{Cluster: 1, Revision: c.Events[len(c.Events)-1].Modified}
			}
			return c, err
		}}
	}
}

// recorder is a testing.TB of a test that has to fail.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any)                 { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) FailNow()                          { r.Fatalf("FailNow") }

// TestMutantsFail shows that the tests of the suite can fail.
func TestMutantsFail(t *testing.T) {
	// Enough checks that a random one finds the fault, and no search for the smallest.
	for name, value := range map[string]string{"rapid.checks": "2000", "rapid.nofailfile": "true", "rapid.shrinktime": "1ns"} {
		old := flag.Lookup(name).Value.String()
		flag.Set(name, value)
		defer flag.Set(name, old)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			i := slices.IndexFunc(tests, func(tc test) bool { return tc.name == m.found })
			if i < 0 {
				t.Fatalf("there is no test %s", m.found)
			}
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{TB: t}
				c := memkv.New(memkv.Config{})
				instance := Instance{
					Open: func() kv.Store {
						s := c.Open("mutant")
						t.Cleanup(func() { s.Close() })
						store := &mutant{Store: s}
						m.make(store)
						return store
					},
					Compact: func(revision int64) { c.Compact(revision) },
					Full:    c.SetFull,
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					tests[i].run(newEnv(r, instance))
				}()
				<-done
				if len(r.failed) == 0 {
					t.Errorf("%s passes", m.found)
				}
			})
		})
	}
}
