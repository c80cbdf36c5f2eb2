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

// besideServer is a store with a server in this process, which counts how often it is told
// to let another lead.
type besideServer struct {
	kv.Store
	told   atomic.Int64
	err    error
	takes  time.Duration // of StepAside
	moving atomic.Bool
	lost   atomic.Bool // a transaction came while it moved
}

func (s *besideServer) StepAside(ctx context.Context) error {
	s.told.Add(1)
	s.moving.Store(true)
	defer s.moving.Store(false)
	sleep(ctx, s.takes)
	return s.err
}

func (s *besideServer) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	if s.moving.Load() {
		s.lost.Store(true)
	}
	return s.Store.Txn(ctx, t)
}

// TestTheWritersServerStepsAside: the store's servers are led by another dnsd than the
// writer, whichever that is, and even if that does not work the writer goes on.
func TestTheWritersServerStepsAside(t *testing.T) {
	for _, err := range []error{nil, errors.New("no other server can be reached")} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			stores := map[*node]*besideServer{}
			start := func() *node {
				s := &besideServer{err: err, takes: 100 * time.Millisecond}
				n := c.start(func(cfg *Config) {
					s.Store = cfg.Store
					cfg.Store = s
				})
				stores[n] = s
				return n
			}
			first := start()
			c.elected()
			second := start()
			c.settled()
			for i := range 300 {
				first.register(t, fmt.Sprint("b", i))
				time.Sleep(10 * time.Millisecond)
			}
			if stores[first].lost.Load() {
				t.Error("a commit was sent while the leadership moved")
			}
			if a, b := stores[first].told.Load(), stores[second].told.Load(); a == 0 || b != 0 {
				t.Errorf("the writer's server was told %d times, the follower's %d times", a, b)
			}
			first.register(t, "a1")
			first.stop()
			if c.settled() != second {
				t.Fatal("the other does not lead")
			}
			time.Sleep(3 * time.Second)
			if stores[second].told.Load() == 0 {
				t.Error("the new writer's server was never told")
			}
		})
	}
}

// TestChangesByHandArePutBack: registries do not change by them, and the store is mended.
func TestChangesByHandArePutBack(t *testing.T) {
	a1, a2 := under.instance(registration("a1").Key), under.instance(registration("a2").Key)
	stranger := under.instance(registration("a9").Key)
	fenced := under.fence(registration("a3").Key)
	for name, ops := range map[string][]kv.Op{
		"an instance was deleted":  {{Key: a1, Delete: true}},
		"all of them":              {{Key: a1, Delete: true}, {Key: a2, Delete: true}},
		"an instance was changed":  {put(a1, `{}`)},
		"an instance was added":    {put(stranger, string(encode(registry.NewRecord(instance("a9", 7)))))},
		"one that is no key":       {put(under.prefix+"/i/x", `{}`)},
		"a fence was deleted":      {{Key: fenced, Delete: true}},
		"a fence was added":        {put(under.fence(registration("a8").Key), `{}`)},
		"several, and other notes": {put(a1, `{}`), {Key: a2, Delete: true}, put(stranger, `?`), put(under.prefix+"/note", "x")},
	} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			first, second := c.two()
			time.Sleep(3 * time.Second)
			for _, id := range []string{"a1", "a2"} {
				first.register(t, id)
			}
			in := registration("a3")
			in.Incarnation = 7
			if _, err := first.reg.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			if _, err := first.reg.Deregister(t.Context(), in.Key, nil); err != nil {
				t.Fatal(err)
			}
			c.settled()
			life, revision := first.reg.Life(), first.reg.Revision()
			c.operate(ops...)
			time.Sleep(100 * time.Millisecond)
			c.stored(first)
			l := whole(t, c.store)
			if len(l.fences) != 1 || len(l.problems) != 0 {
				t.Errorf("%s: fences %v, problems %v", name, l.fences, l.problems)
			}
			for _, n := range c.nodes {
				if n.reg.Life() != life || n.reg.Revision() != revision || !n.has("a1") || !n.has("a2") || n.has("a9") {
					t.Errorf("%s: %s changed", name, n.name)
				}
			}
			if !first.log.has("put back") || !second.log.has("not by a dnsd") {
				t.Errorf("%s: it is not told", name)
			}
			first.register(t, "a4")
			c.settled()
		})
	}
}

// TestManyChangesByHandAreFewLines: a program that goes on changing keys fills no disk.
func TestManyChangesByHandAreFewLines(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		second := c.start()
		first.register(t, "a1")
		c.settled()
		key := under.instance(registration("a1").Key)
		for range 200 {
			c.operate(kv.Op{Key: key, Delete: true})
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		c.stored(first)
		for _, n := range c.nodes {
			if all := n.log.count("put back") + n.log.count("not by a dnsd"); all == 0 || all > 4 {
				t.Errorf("%s: %d lines in 20 seconds", n.name, all)
			}
		}
		if second.log.count("not by a dnsd") == 0 {
			t.Error("a follower does not tell it")
		}
	})
}

// TestSpareKeysDeletedByHand: whoever follows and whoever loads agree on the revision, and
// the keys are put back.
func TestSpareKeysDeletedByHand(t *testing.T) {
	for name, numbers := range map[string][]int{
		"the highest": {999}, "one in the middle": {5}, "the lowest": {0}, "several": {0, 7, 500, 501, 998, 999},
	} {
		for _, and := range [][]kv.Op{nil, {put(under.instance(registration("a1").Key), `{}`)}, {{Key: under.instance(registration("a2").Key), Delete: true}}} {
			inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
				all := newChronicle()
				all.gaps = true
				first := all.record(t, c.start())
				c.elected()
				all.record(t, c.start())
				c.settled()
				time.Sleep(3 * time.Second)
				first.register(t, "a1")
				first.register(t, "a2")
				first.register(t, "a3")
				c.settled()
				ops := and
				for _, i := range numbers {
					ops = append(ops, kv.Op{Key: under.spare(i), Delete: true})
				}
				c.operate(ops...)
				time.Sleep(time.Second)
				late := all.record(t, c.start())
				w := c.settled()
				time.Sleep(3 * time.Second)
				c.settled()
				if len(numbers) > 1 || and == nil || !and[0].Delete { // else it looks like a removal
					for _, id := range []string{"a1", "a2", "a3"} {
						if !w.has(id) || !late.has(id) {
							t.Errorf("%s: %s is gone", name, id)
						}
					}
				}
				w.register(t, "a4")
				c.store.SetFull(true)
				if _, err := w.reg.Deregister(t.Context(), registration("a4").Key, nil); err != nil {
					t.Errorf("%s: a removal from a full store: %v", name, err)
				}
				c.store.SetFull(false)
				time.Sleep(40 * time.Second)
				c.settled()
				c.stored(c.writer())
				if l := whole(t, c.store); len(l.pos.spares) != mostSpares || len(l.problems) > 0 {
					t.Errorf("%s: %d spare keys, %v", name, len(l.pos.spares), l.problems)
				}
			})
			if t.Failed() {
				t.Fatal(name, len(and))
			}
		}
	}
}

// TestPutBackGivesWayToACommit: a key that was changed by hand and then by a commit is as
// the commit says.
func TestPutBackGivesWayToACommit(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		first.register(t, "a1")
		first.register(t, "a2")
		time.Sleep(2 * time.Second)
		first.link.Delay(50 * time.Millisecond) // the watch is late
		a1, a2 := under.instance(registration("a1").Key), under.instance(registration("a2").Key)
		c.operate(kv.Op{Key: a1, Delete: true}, kv.Op{Key: a2, Delete: true})
		in := registration("a1")
		in.Weight = 7
		if _, err := first.reg.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		c.stored(first)
	})
}

// TestOwedIsWrittenByWhoeverLeads: also by a member that has lost and leads again, and by
// one that has only followed.
func TestOwedIsWrittenByWhoeverLeads(t *testing.T) {
	for name, change := range map[string]func(c *cluster, first, second *node) *node{
		"the same": func(*cluster, *node, *node) *node { return nil },
		"the same, after it lost": func(c *cluster, first, second *node) *node {
			second.kill()
			time.Sleep(6 * time.Second)
			c.store.Stop()
			time.Sleep(6 * time.Second)
			c.store.Start()
			return first
		},
		"another": func(c *cluster, first, second *node) *node { first.kill(); return second },
	} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			first, second := c.two()
			time.Sleep(2 * time.Second)
			in := registration("a1")
			in.Incarnation = 7
			if _, err := first.reg.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			if _, err := first.reg.Drain(t.Context(), in.Key, true); err != nil {
				t.Fatal(err)
			}
			c.settled()
			c.store.SetFull(true)
			if _, err := first.reg.Deregister(t.Context(), in.Key, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			want := change(c, first, second)
			w := c.settled()
			if want != nil && w != want {
				t.Fatalf("%s: %s leads", name, w.name)
			}
			if l := whole(t, c.store); len(l.fences) != 0 || len(l.pos.spares) != mostSpares-1 {
				t.Fatalf("%s: a full store has fences %v", name, l.fences)
			}
			c.store.SetFull(false)
			time.Sleep(40 * time.Second)
			l := whole(t, c.store)
			if len(l.fences) != 1 || l.fences[0].Incarnation != 7 || !l.fences[0].Drained || len(l.pos.spares) != mostSpares {
				t.Errorf("%s: fences %v, %d spare keys", name, l.fences, len(l.pos.spares))
			}
			c.stored(w)
			for _, n := range c.nodes {
				if f := n.reg.Fence(in.Key); !n.down && (f.Incarnation != 7 || !f.Drained) {
					t.Errorf("%s: %s has fence %+v", name, n.name, f)
				}
			}
		})
	}
}

// TestRemovalsWithoutSpaceAreInOrder: each has the same revision everywhere.
func TestRemovalsWithoutSpaceAreInOrder(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		all := newChronicle()
		first := all.record(t, c.start())
		c.elected()
		second := all.record(t, c.start())
		c.settled()
		time.Sleep(2 * time.Second)
		for _, id := range ids(8) {
			first.register(t, id)
		}
		c.settled()
		commits := first.reg.Stats().Commits
		c.store.SetFull(true)
		first.link.Delay(10 * time.Millisecond) // so that requests gather
		var clients sync.WaitGroup
		for _, id := range []string{"a0004", "a0001", "a0007", "a0000", "a0003"} {
			clients.Go(func() {
				if _, err := first.reg.Deregister(t.Context(), registration(id).Key, nil); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		clients.Wait()
		if n := first.reg.Stats().Commits - commits; n >= 10 {
			t.Errorf("%d commits: no removals were together", n)
		}
		c.settled()
		if second.reg.Stats().Instances != 3 {
			t.Errorf("%d instances are left", second.reg.Stats().Instances)
		}
	})
}

// TestFullStoreKeepsItsWriter: removals and DNS go on, and another can become the writer.
func TestFullStoreKeepsItsWriter(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		time.Sleep(2 * time.Second)
		for _, id := range ids(5) {
			first.register(t, id)
		}
		c.settled()
		c.store.SetFull(true)
		time.Sleep(time.Minute)
		if c.writer() != first {
			t.Error("it does not lead any more")
		}
		first.kill()
		w := c.elected()
		if w != second || w.reg.Life() != first.reg.Life() {
			t.Errorf("%s leads", w.name)
		}
		if _, err := w.reg.Deregister(t.Context(), registration("a0001").Key, nil); err != nil {
			t.Errorf("a removal: %v", err)
		}
		c.store.SetFull(false)
		w.register(t, "a9")
		c.stored(w)
	})
}

// TestMendingWaitsForSpace: what was changed by hand in a full store is put back when there
// is space, and is not tried without a pause until then.
func TestMendingWaitsForSpace(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		s := &countingStore{}
		w := c.start(func(cfg *Config) {
			s.Store = cfg.Store
			cfg.Store = s
		})
		c.elected()
		w.register(t, "a1")
		time.Sleep(3 * time.Second)
		c.store.SetFull(true)
		before := s.txns.Load()
		c.operate(kv.Op{Key: under.instance(registration("a1").Key), Delete: true})
		time.Sleep(time.Minute)
		if n := s.txns.Load() - before; n == 0 || n > 30 {
			t.Errorf("%d transactions in a minute", n)
		}
		c.store.SetFull(false)
		time.Sleep(11 * time.Second)
		c.stored(w)
	})
}

// countingStore counts transactions. Many of them take time, or a test of one that is sent
// again and again would never end.
type countingStore struct {
	kv.Store
	txns atomic.Int64
}

func (s *countingStore) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	if s.txns.Add(1) > 1000 {
		sleep(ctx, time.Second)
	}
	return s.Store.Txn(ctx, t)
}
