package memkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/kvtest"
)

// put is a transaction of puts, from keys and values in turn.
func put(kvs ...string) kv.Txn {
	var t kv.Txn
	for i := 0; i < len(kvs); i += 2 {
		t.Then = append(t.Then, kv.Op{Key: kvs[i], Value: []byte(kvs[i+1])})
	}
	return t
}

// do does a transaction that must be done, and returns its revision.
func do(t *testing.T, s *Store, txn kv.Txn) int64 {
	t.Helper()
	r, err := s.Txn(t.Context(), txn)
	if err != nil || !r.Done {
		t.Fatalf("the transaction was not done: %+v, %v", r, err)
	}
	return r.Header.Revision
}

// value reads a key; "" is none.
func value(t *testing.T, s *Store, key string) string {
	t.Helper()
	p, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		return ""
	}
	return string(p.Value)
}

// next reads a watch until it has changes, and writes them as "REVISION key=value".
func next(t *testing.T, w kv.Watch) (lines []string) {
	t.Helper()
	for {
		c, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Events {
			if e.Deleted {
				lines = append(lines, fmt.Sprintf("%d -%s", e.Modified, e.Key))
			} else {
				lines = append(lines, fmt.Sprintf("%d %s=%s", e.Modified, e.Key, e.Value))
			}
		}
		if len(lines) > 0 {
			return lines
		}
	}
}

func wantErr(t *testing.T, what string, err, is error) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Errorf("%s: the error is %v, not %v", what, err, is)
	}
}

// TestSuite runs the suite as it is, and with links that are slow and watches that often
// say that nothing has changed.
func TestSuite(t *testing.T) {
	for name, delay := range map[string]time.Duration{"fast": 0, "slow": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			kvtest.Suite{
				Fresh: func(t testing.TB) kvtest.Instance {
					c := New(Config{Progress: delay})
					return kvtest.Instance{
						Open: func() kv.Store {
							s := c.Open("test")
							s.Delay(delay)
							return s
						},
						Compact: func(revision int64) {
							if err := c.Compact(revision); err != nil {
								t.Error(err)
							}
						},
						Full: c.SetFull,
					}
				},
				Around: synctest.Test,
			}.Run(t)
		})
	}
}

func TestAWatchSeesWhatAnotherConnectionWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		a, b := c.Open("a"), c.Open("b")
		w := b.Watch(t.Context(), "x/", c.Revision())
		got := make(chan []string)
		go func() { got <- next(t, w) }()
		synctest.Wait()
		r := do(t, a, put("x/1", "one", "y", "other", "x/0", "zero"))
		want := []string{fmt.Sprintf("%d x/1=one", r), fmt.Sprintf("%d x/0=zero", r)}
		if g := <-got; !slices.Equal(g, want) {
			t.Errorf("the watch has %q, want %q", g, want)
		}
	})
}

func TestALeaseThatEndsDeletesItsKeysAtOneRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		s := c.Open("a")
		l, err := s.Grant(t.Context(), 2500*time.Millisecond)
		if err != nil || l.TTL != 3*time.Second {
			t.Fatalf("the lease is %+v, %v, want 3 s", l, err)
		}
		r := do(t, s, kv.Txn{Then: []kv.Op{{Key: "b", Lease: l.ID}, {Key: "a", Lease: l.ID}, {Key: "c"}}})
		w := s.Watch(t.Context(), "", r)
		for range 4 {
			time.Sleep(2 * time.Second)
			if err := s.KeepAlive(t.Context(), l.ID); err != nil {
				t.Fatal(err)
			}
		}
		renewed := time.Now()
		want := []string{fmt.Sprintf("%d -a", r+1), fmt.Sprintf("%d -b", r+1)}
		if g := next(t, w); !slices.Equal(g, want) {
			t.Errorf("the watch has %q, want %q", g, want)
		}
		if d := time.Since(renewed); d != l.TTL {
			t.Errorf("the lease ended after %v", d)
		}
		wantErr(t, "keep alive", s.KeepAlive(t.Context(), l.ID), kv.ErrLeaseGone)
		_, err = s.Txn(t.Context(), kv.Txn{Then: []kv.Op{{Key: "z", Lease: l.ID}}})
		wantErr(t, "put", err, kv.ErrLeaseGone)
	})
}

func TestCompactionEndsWatchesThatAreTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{History: 3})
		s := c.Open("a")
		first := do(t, s, put("k", "1"))
		for i := range 5 {
			do(t, s, put("k", fmt.Sprint(i), fmt.Sprintf("k%d", i), ""))
		}
		_, err := s.Watch(t.Context(), "", first).Next(t.Context())
		wantErr(t, "watch", err, kv.ErrCompacted)
		_, err = s.Range(t.Context(), "", first, func(kv.Pair) error { return nil })
		wantErr(t, "range", err, kv.ErrCompacted)
		var keys []string
		h, err := s.Range(t.Context(), "k", c.Revision()-3, func(p kv.Pair) error { keys = append(keys, p.Key); return nil })
		if want := []string{"k", "k0", "k1"}; err != nil || !slices.Equal(keys, want) || h.Revision != c.Revision()-3 {
			t.Errorf("the range has %q at %d, %v, want %q", keys, h.Revision, err, want)
		}
	})
}

func TestCloseEndsCallsAndWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		s := c.Open("a")
		s.SetLink(Hang)
		errs := make(chan error, 2)
		go func() { _, err := s.Watch(context.Background(), "", 0).Next(context.Background()); errs <- err }()
		go func() { _, _, err := s.Get(context.Background(), "a"); errs <- err }()
		synctest.Wait()
		s.Close()
		wantErr(t, "what hung", <-errs, kv.ErrClosed)
		wantErr(t, "what hung", <-errs, kv.ErrClosed)
		_, err := s.Grant(t.Context(), time.Second)
		wantErr(t, "grant", err, kv.ErrClosed)
	})
}
