package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// deaf is a store whose transactions are done, for a while, but their outcomes are not
// heard. Everything else works.
type deaf struct {
	kv.Store
	after atomic.Int64 // transactions that are heard before that; negative: all are heard
	mute  atomic.Bool  // later transactions do not arrive
}

func (s *deaf) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	if n := s.after.Load(); n < 0 {
		return s.Store.Txn(ctx, t)
	} else if n > 0 {
		s.after.Add(-1)
		return s.Store.Txn(ctx, t)
	}
	if s.mute.Swap(true) {
		return kv.Result{}, kv.ErrUncertain
	}
	_, err := s.Store.Txn(ctx, t)
	return kv.Result{}, errors.Join(kv.ErrUncertain, err)
}

// TestLostTermIsFollowed: a change whose outcome the writer never learned is in its
// registry when it follows, at once, and in everyone's.
func TestLostTermIsFollowed(t *testing.T) {
	for _, heard := range []int64{0, 2} { // transactions of the batch
		inBubble(t, memkv.Config{Limits: kv.Limits{Ops: 4, Bytes: 1 << 20}}, func(t *testing.T, c *cluster) {
			all := newChronicle()
			ears := &deaf{}
			ears.after.Store(-1)
			first := c.prepare(func(cfg *Config) { ears.Store = cfg.Store; cfg.Store = ears })
			all.record(t, first).run()
			c.elected()
			second := all.record(t, c.start())
			c.settled()
			time.Sleep(time.Minute) // the spare keys take many transactions
			many, err := registry.Open(registry.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer many.Close()
			for i := range 9 {
				if _, err := many.Register(t.Context(), registration(fmt.Sprint("a", i))); err != nil {
					t.Fatal(err)
				}
			}
			ears.after.Store(heard)
			if _, err := first.reg.Adopt(t.Context(), many); !errors.Is(err, registry.ErrUncertain) {
				t.Errorf("%d: %v", heard, err)
			}
			ears.after.Store(-1)
			time.Sleep(100 * time.Millisecond)
			want := int(heard+1) * 3
			for _, n := range c.nodes {
				if got := n.reg.Stats().Instances; got != want {
					t.Errorf("%d: %s has %d instances, want %d", heard, n.name, got, want)
				}
			}
			w := c.settled()
			w.register(t, "b1")
			c.settled()
			c.stored(w)
			_ = second
		})
	}
}

// TestLateTransactionOfALostTermIsNotDone: its key has gone, also if the same member leads
// again.
func TestLateTransactionOfALostTermIsNotDone(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		ears := &deaf{}
		ears.after.Store(-1)
		first := c.start(func(cfg *Config) { ears.Store = cfg.Store; cfg.Store = ears })
		c.elected()
		time.Sleep(2 * time.Second)
		first.link.Lose(memkv.Late)
		ears.after.Store(0)
		if _, err := first.reg.Register(t.Context(), registration("a1")); !errors.Is(err, registry.ErrUncertain) {
			t.Errorf("%v", err)
		}
		ears.after.Store(-1)
		time.Sleep(time.Second)
		c.elected()
		first.link.Arrive()
		synctest.Wait()
		if whole(t, c.store).registered() != "" {
			t.Error("it was done")
		}
		first.register(t, "a2")
		c.stored(first)
	})
}

// TestStaleViewDoesNotLead: a member that still sees its key, which is gone, asks the
// store before it leads.
func TestStaleViewDoesNotLead(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		late := &lateWatch{}
		second := c.start(func(cfg *Config) { late.Store = cfg.Store; cfg.Store = late })
		c.settled()
		time.Sleep(time.Second)
		third := c.start()
		c.settled()
		time.Sleep(time.Second)
		late.by.Store(int64(2 * time.Second))
		key := second.member.session.now().key
		first.stop()
		time.Sleep(time.Second)
		c.operate(kv.Op{Key: key, Delete: true})
		both := false
		for range 500 {
			both = both || second.reg.Leads()
			time.Sleep(10 * time.Millisecond)
		}
		if both || c.writer() != third {
			t.Errorf("the stale one led: %t", both)
		}
	})
}

// TestManyWritersAtOnce: requests of many clients, while members come and go. Every
// receipt is right, and no two are of one revision.
func TestManyWritersAtOnce(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		l, all := newLedger(t), newChronicle()
		for range 3 {
			n := all.record(t, c.prepare())
			n.link.Delay(2 * time.Millisecond)
			n.run()
		}
		c.settled()
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for client := range 20 {
			clients.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					for _, n := range c.nodes {
						if n.reg.Leads() {
							l.write(t.Context(), n, fmt.Sprint("a", client), i%3 == 2, nil)
						}
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		for _, pause := range []time.Duration{300, 700, 2000} {
			time.Sleep(pause * time.Millisecond)
			if w := c.writer(); w != nil {
				_ = w.member.Resign(t.Context())
			}
		}
		cancel()
		clients.Wait()
		all.record(t, c.start())
		w := c.settled()
		for _, n := range c.nodes {
			l.check(n)
		}
		c.stored(w)
		if len(l.ended) < 100 {
			t.Errorf("%d changes were acknowledged", len(l.ended))
		}
	})
}
