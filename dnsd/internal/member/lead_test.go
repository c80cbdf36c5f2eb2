package member

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// short is an instance with a lease of 15 seconds.
func short(id string) registry.Instance {
	in := registration(id)
	in.Lease = 15 * time.Second
	return in
}

// TestChangeOfWriterExpiresNothing: every lease begins again, and then it ends as usual.
func TestChangeOfWriterExpiresNothing(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		if _, err := first.reg.Register(t.Context(), short("a1")); err != nil {
			t.Fatal(err)
		}
		c.settled()
		time.Sleep(14 * time.Second)
		first.kill()
		c.elected()
		began := time.Now()
		s, ok := second.reg.Instance(short("a1").Key)
		if !ok || s.State != registry.Unconfirmed || s.ExpiresIn < 14*time.Second {
			t.Errorf("a1 is %+v", s)
		}
		for second.has("a1") {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 15*time.Second || took > 40*time.Second {
			t.Errorf("it expired after %v", took)
		}
		c.stored(second)
	})
}

// TestNothingExpiresWithoutTheStore: for ten leases; then every lease begins again.
func TestNothingExpiresWithoutTheStore(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		if _, err := first.reg.Register(t.Context(), short("a1")); err != nil {
			t.Fatal(err)
		}
		c.settled()
		revision := first.reg.Revision()
		c.store.Stop()
		time.Sleep(150 * time.Second)
		for _, n := range c.nodes {
			if !n.has("a1") || n.reg.Leads() {
				t.Errorf("%s: a1 is there %t, it leads %t", n.name, n.has("a1"), n.reg.Leads())
			}
			if _, err := n.reg.Renew(t.Context(), short("a1").Key, 0); !errors.Is(err, registry.ErrNotWriter) {
				t.Errorf("%s: a renewal: %v", n.name, err)
			}
		}
		c.store.Start()
		w := c.elected()
		if s, ok := w.reg.Instance(short("a1").Key); !ok || s.ExpiresIn < 10*time.Second {
			t.Errorf("a1 is %+v", s)
		}
		if w.reg.Revision() != revision {
			t.Errorf("revision %d, want %d", w.reg.Revision(), revision)
		}
		_ = second
	})
}

// TestStoppedWriterAcknowledgesNothing: as after SIGSTOP, the writer wakes up after its
// session, and hears of nothing at first.
func TestStoppedWriterAcknowledgesNothing(t *testing.T) {
	for _, link := range []memkv.Link{memkv.Hang, memkv.HangReplies, memkv.Cut} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			first, second := c.two()
			first.register(t, "a1")
			c.settled()
			first.link.SetLink(link)
			began := time.Now()
			for time.Since(began) < 20*time.Second {
				_, err := first.reg.Renew(t.Context(), registration("a1").Key, 0)
				if err == nil && second.mayAcknowledge() {
					t.Fatalf("%v: after %v both acknowledge renewals", link, time.Since(began))
				}
				if err == nil && time.Since(began) > 5*time.Second {
					t.Fatalf("%v: after %v it acknowledges renewals", link, time.Since(began))
				}
				time.Sleep(10 * time.Millisecond)
			}
			if !second.reg.Leads() {
				t.Errorf("%v: the other does not lead", link)
			}
			second.register(t, "a2")
			first.link.SetLink(memkv.Up)
			c.settled()
			if !first.has("a2") {
				t.Errorf("%v: it does not follow", link)
			}
		})
	}
}

// TestHotFollowerContinuesTheLife: a client or a secondary may go from one to another. A
// member that has seen no writer alive does not continue what may be an old copy.
func TestHotFollowerContinuesTheLife(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		first.register(t, "a1")
		c.settled()
		w, err := second.reg.Watch("", &registry.Position{Life: first.reg.Life(), Revision: first.reg.Revision() - 1})
		if err == nil {
			w.Close()
		}
		life := first.reg.Life()
		for range 3 { // each is greeted by the writer before, although nothing changes
			c.elected().kill()
			c.elected()
			c.start()
			if got := c.settled().reg.Life(); got != life {
				t.Fatalf("the life is %v, and was %v", got, life)
			}
		}
		last := c.settled()
		revision := last.reg.Revision()
		for _, n := range c.nodes {
			n.kill()
		}
		time.Sleep(10 * time.Second)
		cold := c.start()
		c.elected()
		if cold.reg.Life() == life || cold.reg.Revision() < revision+1<<20 || !cold.has("a1") {
			t.Errorf("after a cold start: life %v at %d", cold.reg.Life(), cold.reg.Revision())
		}
	})
}

// TestMemberThatCannotLeadLetsAnotherTry: the lowest key would keep all others away.
func TestMemberThatCannotLeadLetsAnotherTry(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		lame := &cannotRange{}
		second := c.start(func(cfg *Config) { lame.Store = cfg.Store; cfg.Store = lame })
		c.settled()
		time.Sleep(time.Second)
		third := c.start()
		c.settled()
		lame.prefix.Store(under.spares())
		first.kill()
		if w := c.elected(); w != third {
			t.Errorf("%s leads", w.name)
		}
		if !second.log.has("lets another try") {
			t.Error("that is not told")
		}
	})
}

// cannotRange is a store that does not answer one question.
type cannotRange struct {
	kv.Store
	prefix atomic.Value // string
}

func (s *cannotRange) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
	if s.prefix.Load() == prefix {
		return kv.Header{}, kv.ErrUnavailable
	}
	return s.Store.Range(ctx, prefix, at, each)
}

// TestLeaderWaitsForItsWatch: a follower whose watch is late does not lead before it has
// everything.
func TestLeaderWaitsForItsWatch(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		late := &lateWatch{}
		second := c.start(func(cfg *Config) { late.Store = cfg.Store; cfg.Store = late })
		c.settled()
		time.Sleep(2 * time.Second)
		late.by.Store(int64(700 * time.Millisecond))
		for _, id := range ids(5) {
			first.register(t, id)
		}
		revision := first.reg.Revision()
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		w := c.elected()
		if w != second || w.reg.Revision() != revision || !w.has("a0004") {
			t.Errorf("%s leads at %d, want %d", w.name, w.reg.Revision(), revision)
		}
		c.stored(w)
	})
}

// lateWatch is a store whose watch is late.
type lateWatch struct {
	kv.Store
	by atomic.Int64
}

func (s *lateWatch) Watch(ctx context.Context, prefix string, after int64) kv.Watch {
	return &lateChanges{s.Store.Watch(ctx, prefix, after), s}
}

type lateChanges struct {
	kv.Watch
	s *lateWatch
}

func (w *lateChanges) Next(ctx context.Context) (kv.Changes, error) {
	changes, err := w.Watch.Next(ctx)
	sleep(ctx, time.Duration(w.s.by.Load()))
	return changes, err
}

// TestDamagedHead: whoever reads it does not write, says so, and serves on. The writer
// that has it in memory puts it back when an operator deletes it.
func TestDamagedHead(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		first.register(t, "a1")
		c.settled()
		c.operate(put(under.head(), `{"format":2}`))
		time.Sleep(20 * time.Second)
		for _, n := range c.nodes {
			if !n.has("a1") || n.reg.Leads() || !n.member.Health().Stale || !n.log.has("newer dnsd has written it") {
				t.Errorf("%s: leads %t, health %+v", n.name, n.reg.Leads(), n.member.Health())
			}
		}
		if l := c.head(); !strings.Contains(l, `"format":2`) {
			t.Errorf("it was overwritten: %s", l)
		}
		c.operate(kv.Op{Key: under.head(), Delete: true})
		w := c.settled()
		if !w.has("a1") || w.member.Ready() != nil {
			t.Errorf("after it was deleted: %v", w.member.Ready())
		}
		w.register(t, "a2")
		c.settled()
		c.stored(w)
		_ = second
	})
}

// head is the value of the head.
func (c *cluster) head() string {
	pair, _, err := c.store.Open("reader").Get(context.Background(), under.head())
	if err != nil || pair == nil {
		return ""
	}
	return string(pair.Value)
}

// TestGoroutinesEnd: Run waits for everything that it has started, in whatever state the
// store is.
func TestGoroutinesEnd(t *testing.T) {
	for _, link := range []memkv.Link{memkv.Up, memkv.Hang, memkv.HangReplies, memkv.Cut, memkv.Deny} {
		for _, when := range []time.Duration{0, time.Second, 10 * time.Second} {
			inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
				c.start()
				n := c.start(func(cfg *Config) { cfg.Copy = t.TempDir() + "/copy" })
				c.elected()
				synctest.Wait()
				n.link.SetLink(link)
				time.Sleep(when)
				began := time.Now()
				if err := n.stop(); err != nil || time.Since(began) > 6*time.Second {
					t.Errorf("%v for %v: %v after %v", link, when, err, time.Since(began))
				}
			})
		}
	}
}
