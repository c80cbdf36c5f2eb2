package member

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// TestStoreThatLostSomething: whatever happens to the store under running members, they
// lose nothing, they write back what is missing, and a new life begins, in which no
// revision is repeated.
func TestStoreThatLostSomething(t *testing.T) {
	for name, harm := range map[string]func(c *cluster, s *memkv.Snapshot){
		"restored from a copy":            func(c *cluster, s *memkv.Snapshot) { c.store.Restore(s, 0) },
		"restored, with another identity": func(c *cluster, s *memkv.Snapshot) { c.store.Restore(s, 77) },
		"emptied":                         func(c *cluster, _ *memkv.Snapshot) { c.wipe() },
		"made again":                      func(c *cluster, _ *memkv.Snapshot) { c.store.Restore(memkv.New(memkv.Config{}).Snapshot(), 78) },
		"the head was deleted":            func(c *cluster, _ *memkv.Snapshot) { c.operate(kv.Op{Key: under.head(), Delete: true}) },
		"the head and all members, deleted": func(c *cluster, _ *memkv.Snapshot) {
			c.deleteMembers()
			c.operate(kv.Op{Key: under.head(), Delete: true})
		},
	} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			l, all := newLedger(t), newChronicle()
			all.gaps = true // of spare keys that are emptied after a new life has begun
			for range 3 {
				all.record(t, c.start())
			}
			w := c.settled()
			time.Sleep(2 * time.Second)
			for i := range 5 {
				l.write(context.Background(), w, fmt.Sprint("a", i), false, nil)
			}
			copied := c.store.Snapshot()
			for i := range 5 {
				l.write(context.Background(), w, fmt.Sprint("b", i), false, nil)
			}
			l.write(context.Background(), w, "a1", true, nil)
			l.write(context.Background(), w, "a2", false, nil)
			c.settled()
			life, revision := w.reg.Life(), w.reg.Revision()
			harm(c, copied)
			began := time.Now()
			for w.reg.Life() == life && time.Since(began) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%s: nothing happened for %v", name, took)
			}
			w = c.settled()
			if w.reg.Life() == life || w.reg.Revision() < revision+1<<20 {
				t.Errorf("%s: life %v at %d, after %v at %d", name, w.reg.Life(), w.reg.Revision(), life, revision)
			}
			time.Sleep(3 * time.Second)
			c.stored(w)
			third := all.record(t, c.prepare())
			third.run()
			l.write(context.Background(), w, "c1", false, nil)
			c.settled()
			for _, n := range c.nodes {
				l.check(n)
				all.note(t, n)
				if err := n.member.Ready(); err != nil {
					t.Errorf("%s: %s is not ready: %v", name, n.name, err)
				}
				if strings.HasPrefix(name, "restored") && (n.log.has("by hand") || n.log.has("not by a dnsd")) {
					t.Errorf("%s: %s takes what the writer wrote back for a change by hand", name, n.name)
				}
			}
			if t.Failed() {
				t.Fatal(name)
			}
		})
	}
}

// operate changes keys as an operator may.
func (c *cluster) operate(ops ...kv.Op) {
	s := c.store.Open("operator")
	defer s.Close()
	mustTxn(c.t, s, ops...)
}

func (c *cluster) deleteMembers() {
	for _, p := range c.nodes[0].member.Peers() {
		c.operate(kv.Op{Key: p.Key, Delete: true})
	}
}

// TestRestoredWhileNoMemberRan: no revision is repeated, even if no member remembers
// anything.
func TestRestoredWhileNoMemberRan(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		l, all := newLedger(t), newChronicle()
		first := all.record(t, c.start())
		c.elected()
		l.write(context.Background(), first, "a1", false, nil)
		all.note(t, first)
		copied := c.store.Snapshot()
		for i := range 5 {
			l.write(context.Background(), first, fmt.Sprint("b", i), false, nil)
			all.note(t, first)
		}
		first.kill()
		c.store.Restore(copied, 0)
		second := all.record(t, c.start())
		c.elected()
		if !second.has("a1") || second.has("b1") {
			t.Error("it has not what the copy has")
		}
		for i := range 5 {
			second.register(t, fmt.Sprint("c", i))
			all.note(t, second)
		}
	})
}

// TestWriterThatWentOnFromLess: a member that starts after the store was restored knows
// nothing of what was there, and leads first. Another, that was cut off, remembers more:
// a new life begins above both.
func TestWriterThatWentOnFromLess(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		all := newChronicle()
		first := all.record(t, c.start())
		c.elected()
		copied := c.store.Snapshot()
		for i := range 5 {
			first.register(t, fmt.Sprint("a", i))
		}
		synctest.Wait()
		all.note(t, first)
		was := first.reg.Revision()
		first.link.SetLink(memkv.Cut)
		c.store.Restore(copied, 0)
		time.Sleep(10 * time.Second)
		second := all.record(t, c.prepare())
		second.run()
		w := c.elected()
		if w != second {
			t.Fatalf("%s leads", w.name)
		}
		second.register(t, "b1")
		all.note(t, second)
		first.link.SetLink(memkv.Up)
		w = c.settled()
		if w.reg.Revision() <= was {
			t.Errorf("at %d, and %d was seen", w.reg.Revision(), was)
		}
		all.note(t, first)
		all.note(t, second)
	})
}

// TestStoreIsRestoredAgainAndAgain: with random writes between, no revision has two
// meanings, and nothing that was acknowledged is lost while a member runs on.
func TestStoreIsRestoredAgainAndAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
			return event{
				rapid.SampledFrom([]string{"write many", "write many", "copy", "restore", "restore", "wipe", "join", "kill", "cut"}).Draw(t, "what"),
				rapid.IntRange(0, 3).Draw(t, "who"), rapid.IntRange(0, 20).Draw(t, "by"), rapid.SliceOfN(rapid.IntRange(0, 20), 1, 5).Draw(t, "many"),
			}
		}), 1, 12).Draw(rt, "events")
		try(t, rt, memkv.Config{}, func(c *cluster) {
			m := &machine{cluster: c, ledger: newLedger(c.t), all: newChronicle(), busy: map[string]bool{}}
			m.all.gaps = true // of spare keys that are wiped after a new life has begun
			m.join()
			m.elected()
			copied := c.store.Snapshot()
			for _, e := range all {
				switch e.what {
				case "copy":
					copied = c.store.Snapshot()
				case "restore":
					c.store.Restore(copied, uint64(e.by%2))
					time.Sleep(20 * time.Second)
				case "wipe":
					c.wipe()
					time.Sleep(20 * time.Second)
				case "join":
					if len(m.up()) < 4 {
						m.join()
					}
				case "kill":
					if up := m.up(); len(up) > 1 {
						up[e.who%len(up)].kill()
					}
				case "cut":
					n := m.up()[e.who%len(m.up())]
					n.link.SetLink(memkv.Cut)
					time.Sleep(time.Duration(e.by) * 500 * time.Millisecond)
					n.link.SetLink(memkv.Up)
				default:
					m.happens(e)
					m.clients.Wait()
				}
				w := m.settled()
				m.check()
				m.ledger.check(w)
				if c.t.Failed() {
					c.t.Logf("after %+v", e)
					return
				}
			}
			m.finish()
		})
	})
}

// busyStore is a store that reports a member that reads it over and over.
type busyStore struct {
	kv.Store
	t     testing.TB
	reads int // used by the goroutine of Run
}

func (s *busyStore) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
	if s.reads++; s.reads == 1000 {
		s.t.Error("everything is read again and again, without a pause")
	}
	if s.reads >= 1000 {
		sleep(ctx, time.Second) // or the test would never end
	}
	return s.Store.Range(ctx, prefix, at, each)
}

// TestStoreWithoutHeadIsNotReadOverAndOver: a member that has more than the store, and that
// cannot lead yet, waits when the head goes, too.
func TestStoreWithoutHeadIsNotReadOverAndOver(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start(func(cfg *Config) { cfg.Store = &busyStore{Store: cfg.Store, t: t} })
		c.elected()
		second := c.start()
		first.register(t, "a0")
		c.settled()
		second.link.SetLink(memkv.Cut)
		copied := c.store.Snapshot()
		for i := range 5 {
			first.register(t, fmt.Sprint("a", i+1))
		}
		life, was := first.reg.Life(), first.reg.Revision()
		first.link.SetLink(memkv.Cut)
		c.store.Restore(copied, 0)
		c.operate(kv.Op{Key: under.head(), Delete: true})
		headless := c.store.Snapshot()
		c.store.Restore(copied, 0)
		second.link.SetLink(memkv.Up)
		time.Sleep(10 * time.Second)
		second.register(t, "b1")
		first.link.SetLink(memkv.Up)
		time.Sleep(2 * time.Second)
		if !first.log.has("the store has less than this dnsd") {
			t.Fatal("the test does not work")
		}
		c.store.Restore(headless, 77)
		time.Sleep(30 * time.Second)
		if w := c.settled(); w.reg.Life() == life || w.reg.Revision() <= was {
			t.Errorf("life %v at %d, and %d was seen", w.reg.Life(), w.reg.Revision(), was)
		}
	})
}

// longStore is a store from which everything is read slowly.
type longStore struct{ kv.Store }

func (s longStore) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
	if prefix == under.all() {
		sleep(ctx, 5*time.Second)
	}
	return s.Store.Range(ctx, prefix, at, each)
}

// TestReadingAgainTakesLong: what the guard finds meanwhile does not begin it again and
// again.
func TestReadingAgainTakesLong(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(c *cluster, follower *node)
	}{
		{"changes were compacted", func(c *cluster, follower *node) {
			follower.link.SetLink(memkv.Hang)
			c.nodes[0].register(t, "a1")
			if err := c.store.Compact(0); err != nil {
				t.Fatal(err)
			}
			follower.link.SetLink(memkv.Up)
		}},
		{"the head is gone", func(c *cluster, _ *node) { c.operate(kv.Op{Key: under.head(), Delete: true}) }},
		{"the data are others", func(c *cluster, _ *node) { c.store.Restore(c.store.Snapshot(), 77) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
				unready := false
				slow := func(cfg *Config) { cfg.Store = longStore{cfg.Store} }
				c.start(slow)
				time.Sleep(20 * time.Second)
				follower := c.start(slow)
				time.Sleep(20 * time.Second)
				c.settled()
				test.harm(c, follower)
				began := time.Now()
				for i := 0; time.Since(began) < time.Minute; i++ {
					if w := c.writer(); w != nil {
						_, _ = w.reg.Register(t.Context(), registration(fmt.Sprint("b", i%10)))
					}
					unready = unready || follower.member.Ready() != nil
					time.Sleep(500 * time.Millisecond)
				}
				if w := c.writer(); w == nil || follower.reg.Revision() != w.reg.Revision() || follower.member.Ready() != nil {
					t.Errorf("the follower has not caught up: %v", follower.member.Ready())
				}
				if !unready {
					t.Error("the follower said all the time that it is ready")
				}
			})
		})
	}
}

// TestWriterThatWentOnInTheSameLife: a member that was cut off when the store was copied
// sees nothing odd in the store that is restored from the copy, and goes on. Another
// remembers more. As soon as it sees that a revision has two meanings, a new life begins
// above both. While it cannot begin one, it says that its content may be old.
func TestWriterThatWentOnInTheSameLife(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		first.register(t, "a0")
		c.settled()
		second.link.SetLink(memkv.Cut)
		copied := c.store.Snapshot()
		for i := range 5 {
			first.register(t, fmt.Sprint("a", i+1))
		}
		life, was := first.reg.Life(), first.reg.Revision()
		first.link.SetLink(memkv.Cut)
		c.store.Restore(copied, 0)
		second.link.SetLink(memkv.Up)
		time.Sleep(10 * time.Second)
		if w := c.elected(); w != second || second.reg.Life() != life {
			t.Fatalf("%s leads", w.name)
		}
		second.register(t, "b1")
		c.store.SetFull(true) // so there is no key for the session of the first
		first.link.SetLink(memkv.Up)
		time.Sleep(7 * time.Second)
		if h := first.member.Health(); h.Reason == "" || !h.Stale || second.reg.Life() != life {
			t.Errorf("it follows no one, and says %+v", h)
		}
		c.store.SetFull(false)
		time.Sleep(6 * time.Second)
		second.register(t, "b2")
		time.Sleep(2 * time.Second)
		w := c.settled()
		if w.reg.Life() == life || w.reg.Revision() <= was {
			t.Errorf("life %v at %d, and %d was seen", w.reg.Life(), w.reg.Revision(), was)
		}
		for _, n := range c.nodes {
			if h := n.member.Health(); h.Reason != "" || h.Stale {
				t.Errorf("%s: %+v", n.name, h)
			}
		}
	})
}
