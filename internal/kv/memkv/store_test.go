package memkv

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestAStoreThatIsStoppedAnswersNothingAndEndsNoLease(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		l, err := a.Grant(t.Context(), 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r := do(t, a, kv.Txn{Then: []kv.Op{{Key: "k", Lease: l.ID}}})
		w := b.Watch(t.Context(), "", r)
		watch := later(func() error { _, err := w.Next(t.Context()); return err })
		time.Sleep(500 * time.Millisecond)
		c.Stop()
		wantErr(t, "a watch", ended(t, watch), kv.ErrUnavailable)
		_, err = b.Watch(t.Context(), "", r).Next(t.Context())
		wantErr(t, "a new watch", err, kv.ErrUnavailable)
		_, _, err = a.Get(t.Context(), "k")
		wantErr(t, "get", err, kv.ErrUnavailable)
		_, err = a.Txn(t.Context(), put("k", "v"))
		wantErr(t, "transaction", err, kv.ErrUnavailable)
		wantErr(t, "keep alive", a.KeepAlive(t.Context(), l.ID), kv.ErrUnavailable)
		if st := a.Status(t.Context()); !strings.Contains(st.Error, "stopped") || st.Nodes[0].Healthy {
			t.Errorf("the status is %+v", st)
		}
		time.Sleep(time.Hour)
		c.Start()
		back := time.Now()
		w = b.Watch(t.Context(), "", r)
		if got, want := next(t, w), fmt.Sprintf("%d -k", r+1); !slices.Equal(got, []string{want}) {
			t.Errorf("the watch has %q, want %q", got, want)
		}
		if d := time.Since(back); d != l.TTL {
			t.Errorf("the lease ended %v after the store came back, want %v", d, l.TTL)
		}
	})
}

func TestALinkThatHangsDoesNotTellThatTheStoreIsStopped(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		w := a.Watch(t.Context(), "", c.Revision())
		a.SetLink(Hang)
		watch := later(func() error { _, err := w.Next(t.Context()); return err })
		get := later(func() error { _, _, err := a.Get(t.Context(), "k"); return err })
		c.Stop()
		hangs(t, "the watch", watch)
		hangs(t, "get", get)
		a.SetLink(Up)
		wantErr(t, "watch", ended(t, watch), kv.ErrUnavailable)
		wantErr(t, "get", ended(t, get), kv.ErrUnavailable)

		// What the store has ended, its client can still end, too.
		c.Start()
		w = a.Watch(t.Context(), "", c.Revision())
		a.SetLink(Hang)
		c.Stop()
		watch = later(func() error { _, err := w.Next(t.Context()); return err })
		hangs(t, "the watch", watch)
		a.Close()
		wantErr(t, "watch", ended(t, watch), kv.ErrClosed)
	})
}

func TestCompactionWhileALinkHangs(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		works, hung := b.Watch(t.Context(), "", c.Revision()), a.Watch(t.Context(), "", c.Revision())
		current := a.Watch(t.Context(), "", c.Revision()+1)
		a.SetLink(Hang)
		r := do(t, b, put("k", "1"))
		if err := c.Compact(0); err != nil {
			t.Fatal(err)
		}
		a.SetLink(Up)
		_, err := hung.Next(t.Context())
		wantErr(t, "the watch that hung", err, kv.ErrCompacted)
		_, err = current.Next(t.Context())
		wantErr(t, "the watch that hung", err, kv.ErrCompacted)
		if got, want := next(t, works), fmt.Sprintf("%d k=1", r); !slices.Equal(got, []string{want}) {
			t.Errorf("the watch whose link works has %q, want %q", got, want)
		}
		if err := c.Compact(r + 1); err == nil {
			t.Error("a revision that is not reached can be compacted")
		}
		wantErr(t, "compact again what was compacted", c.Compact(r-1), kv.ErrCompacted)
	})
}

func TestAWatchThatIsNotReadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{History: 5})
		s := c.Open("a")
		slow, slower := s.Watch(t.Context(), "", c.Revision()), s.Watch(t.Context(), "", c.Revision())
		var want []string
		write := func(n int) {
			for range n {
				want = append(want, fmt.Sprintf("%d k=", do(t, s, put("k", ""))))
			}
		}
		write(10)
		if got := next(t, slow); !slices.Equal(got, want) {
			t.Errorf("the watch has %q, want %q", got, want)
		}
		write(1)
		_, err := slower.Next(t.Context())
		wantErr(t, "a watch that was not read for twice the history", err, kv.ErrCompacted)
	})
}

func TestRestore(t *testing.T) {
	for name, id := range map[string]uint64{"same cluster": 0, "another cluster": 7} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
				l, err := a.Grant(t.Context(), 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				r1 := do(t, a, put("k", "1", "gone", ""))
				r2 := do(t, a, kv.Txn{Then: []kv.Op{{Key: "leased", Lease: l.ID}, {Key: "k", Value: []byte("2")}, {Key: "gone", Delete: true}}})
				_, before, _ := a.Get(t.Context(), "k")
				snapshot := c.Snapshot()
				for i := range 5 {
					do(t, a, put("k", fmt.Sprint(i), "new", ""))
				}
				last := c.Revision()
				lost, err := a.Grant(t.Context(), time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(9 * time.Second)
				w := b.Watch(t.Context(), "", last)
				watch := later(func() error { _, err := w.Next(t.Context()); return err })
				c.Restore(snapshot, id)
				restored := time.Now()
				wantErr(t, "watch", ended(t, watch), kv.ErrUnavailable)

				p, h, err := b.Get(t.Context(), "k")
				if err != nil || string(p.Value) != "2" || p.Created != r1 || p.Modified != r2 || h.Revision != r2 {
					t.Errorf("k is %+v at %d, %v, want 2 at %d", p, h.Revision, err, r2)
				}
				if same := h.Cluster == before.Cluster; same != (id == 0) || id != 0 && h.Cluster != id {
					t.Errorf("the cluster is %x, was %x", h.Cluster, before.Cluster)
				}
				if got := value(t, b, "new"); got != "" {
					t.Error("a key is there that the snapshot does not have")
				}
				wantErr(t, "keep a lease alive that was granted later", b.KeepAlive(t.Context(), lost.ID), kv.ErrLeaseGone)
				_, err = b.Range(t.Context(), "", last, func(kv.Pair) error { return nil })
				wantErr(t, "range at a revision of before", err, kv.ErrCompacted)

				// The history of the snapshot is there, and the revisions go on from it.
				r3 := do(t, b, put("k", "3"))
				got, want := next(t, b.Watch(t.Context(), "k", r1)), []string{fmt.Sprintf("%d k=2", r2), fmt.Sprintf("%d k=3", r3)}
				if !slices.Equal(got, want) || r3 != r2+1 {
					t.Errorf("the watch has %q, want %q", got, want)
				}
				// A watch that begins where it was tells that the store went back.
				changes, err := b.Watch(t.Context(), "", last).Next(t.Context())
				if err != nil || len(changes.Events) > 0 || changes.Header.Revision != r3 {
					t.Errorf("a watch after revision %d has %+v, %v, want none at %d", last, changes, err, r3)
				}
				if again, err := a.Grant(t.Context(), time.Minute); err != nil || again.ID == lost.ID {
					t.Errorf("the lease is %+v, %v: it was given before", again, err)
				}
				next(t, b.Watch(t.Context(), "leased", r3))
				if d := time.Since(restored); d != l.TTL {
					t.Errorf("the lease of the snapshot ended after %v, want %v", d, l.TTL)
				}

				if a, b := snapshot.Other(), snapshot.Other(); a == 0 || a == b || a == before.Cluster {
					t.Errorf("%x and %x are no new ids", a, b)
				}

				// The snapshot is a copy, also of what is restored from it.
				c.Restore(snapshot, 0)
				if got := c.Revision(); got != r2 || value(t, a, "k") != "2" {
					t.Errorf("restored again, the revision is %d, want %d", got, r2)
				}
			})
		})
	}
}

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const value = 1000
		c := New(Config{Quota: 10 * (costOfPut + value + 1)})
		s := c.Open("a")
		big := func() kv.Txn { return put("k", strings.Repeat("v", value)) }
		for range 10 {
			do(t, s, big())
		}
		_, err := s.Txn(t.Context(), big())
		wantErr(t, "the put that exceeds the quota", err, kv.ErrNoSpace)
		if err := c.Compact(0); err != nil {
			t.Fatal(err)
		}
		_, err = s.Txn(t.Context(), put("k", ""))
		wantErr(t, "after compaction, the alarm goes on", err, kv.ErrNoSpace)
		st := s.Status(t.Context())
		if want := int64(costOfPut + value + 1); st.Size != want || st.Alarm != "NOSPACE" {
			t.Errorf("the status is %+v, want size %d", st, want)
		}
		c.SetFull(false)
		l, err := s.Grant(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for range 9 {
			do(t, s, put("k", strings.Repeat("v", value-10)))
		}
		_, err = s.Grant(t.Context(), time.Minute)
		wantErr(t, "the grant that exceeds the quota", err, kv.ErrNoSpace)
		do(t, s, kv.Txn{Then: []kv.Op{{Key: "k", Delete: true}}})
		if err := s.Revoke(t.Context(), l.ID); err != nil {
			t.Error(err)
		}
		if err := c.Compact(0); err != nil {
			t.Fatal(err)
		}
		if st := s.Status(t.Context()); st.Size != 0 {
			t.Errorf("the status of an empty store is %+v", st)
		}
	})
}

func TestTTL(t *testing.T) {
	for _, tc := range []struct{ min, asked, want time.Duration }{
		{0, 0, 2 * time.Second},
		{0, 1500 * time.Millisecond, 2 * time.Second},
		{0, 2 * time.Second, 2 * time.Second},
		{0, 2001 * time.Millisecond, 3 * time.Second},
		{time.Millisecond, 0, time.Millisecond},
		{time.Millisecond, 2001 * time.Millisecond, 2001 * time.Millisecond},
	} {
		if got := (Config{MinTTL: tc.min}).ttl(tc.asked); got != tc.want {
			t.Errorf("at least %v, asked for %v: %v, want %v", tc.min, tc.asked, got, tc.want)
		}
	}
}

// TestProgress: a watch that is quiet says so, and no more often than it should.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Progress: 5 * time.Second})
		s := c.Open("a")
		begun := time.Now()
		w := s.Watch(t.Context(), "x", c.Revision())
		time.Sleep(3 * time.Second)
		r := do(t, s, put("y", ""))
		for i := 1; i <= 3; i++ {
			changes, err := w.Next(t.Context())
			if err != nil || len(changes.Events) > 0 || changes.Header.Revision != r {
				t.Fatalf("the watch has %+v, %v, want nothing at %d", changes, err, r)
			}
			if d := time.Since(begun); d != time.Duration(i)*5*time.Second {
				t.Errorf("progress %d after %v", i, d)
			}
		}

		never := New(Config{Progress: -1}).Open("a")
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		_, err := never.Watch(t.Context(), "", 1).Next(ctx)
		wantErr(t, "a watch without progress", err, context.DeadlineExceeded)
	})
}

// TestManyKeys has more keys than are put in their places one by one.
func TestManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		s := c.Open("a")
		key := func(i int) string { return fmt.Sprintf("%03d", (i*331)%1000) }
		for i := 0; i < 1000; i += 100 {
			var txn kv.Txn
			for j := range 100 {
				txn.Then = append(txn.Then, kv.Op{Key: key(i + j)})
			}
			do(t, s, txn)
			if i == 400 {
				s.Range(t.Context(), "", 0, func(kv.Pair) error { return nil })
			}
		}
		check := func(want int) {
			t.Helper()
			var keys []string
			if _, err := s.Range(t.Context(), "", 0, func(p kv.Pair) error { keys = append(keys, p.Key); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(keys) != want || !slices.IsSorted(keys) || len(slices.Compact(keys)) != want {
				t.Errorf("%d keys, want %d, each once and in order", len(keys), want)
			}
		}
		check(1000)
		for i := range 900 {
			do(t, s, kv.Txn{Then: []kv.Op{{Key: key(i), Delete: true}}})
		}
		check(100)
		if err := c.Compact(0); err != nil {
			t.Fatal(err)
		}
		check(100)
		if n := len(c.data.sorted); n > fewKeys+2*100 || len(c.data.keys) != 100 {
			t.Errorf("%d and %d keys are kept of 100", n, len(c.data.keys))
		}
		do(t, s, put(key(0), "", key(950), "")) // one is back, one was there
		check(101)
	})
}

// TestEverythingAtOnce is for the race detector, and shows that nothing hangs for ever.
func TestEverythingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{History: 20, Quota: 100_000})
		var wg sync.WaitGroup
		for n := range 4 {
			s := c.Open(fmt.Sprint(n))
			s.Delay(time.Duration(n) * time.Millisecond)
			wg.Go(func() {
				for i := range 50 {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
					l, _ := s.Grant(ctx, time.Second)
					s.Txn(ctx, kv.Txn{Then: []kv.Op{{Key: fmt.Sprint(n), Lease: l.ID}, {Key: fmt.Sprint(i % 3)}}})
					s.KeepAlive(ctx, l.ID)
					cancel()
				}
			})
			wg.Go(func() {
				for range 100 {
					ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
					w := s.Watch(ctx, "", c.Revision())
					for {
						if _, err := w.Next(ctx); err != nil {
							break
						}
					}
					s.Status(ctx)
					cancel()
				}
			})
			wg.Go(func() {
				for i := range 50 {
					time.Sleep(3 * time.Millisecond)
					s.SetLink(Link(i % 5))
					s.Lose(Loss(i % 4))
					s.Arrive()
				}
				s.SetLink(Up)
			})
		}
		wg.Go(func() {
			snapshot := c.Snapshot()
			for range 10 {
				time.Sleep(11 * time.Millisecond)
				c.Stop()
				c.Compact(0)
				c.Start()
				c.SetFull(false)
				c.Restore(snapshot, 0)
				snapshot = c.Snapshot()
			}
		})
		wg.Wait()
		for s := range c.stores {
			s.Close()
		}
	})
}
