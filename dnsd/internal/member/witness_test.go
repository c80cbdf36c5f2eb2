package member

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// afterJoin is a store in which something happens when this member has put its key.
type afterJoin struct {
	kv.Store
	then func()
}

func (s *afterJoin) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	r, err := s.Store.Txn(ctx, t)
	if err == nil && r.Done && strings.HasPrefix(t.Then[0].Key, under.members()) && !t.Then[0].Delete && s.then != nil {
		then := s.then
		s.then = nil
		then()
	}
	return r, err
}

// TestLifeGoesOn: a member that joins while the writer cannot put the head continues the
// life all the same, if it leads later.
func TestLifeGoesOn(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(c *cluster, w *node) // after it has joined; the store has been full since
	}{
		{"the store gets room", func(c *cluster, _ *node) {
			time.Sleep(3 * time.Second)
			c.store.SetFull(false)
			time.Sleep(15 * time.Second)
		}},
		{"an instance is removed from the full store", func(c *cluster, w *node) {
			if _, err := w.reg.Deregister(c.t.Context(), registration("a1").Key, nil); err != nil {
				c.t.Fatal(err)
			}
			time.Sleep(time.Second)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
				first := c.start()
				c.elected()
				first.register(t, "a1")
				time.Sleep(3 * time.Second) // the spare keys are there
				second := c.start(func(cfg *Config) {
					cfg.Store = &afterJoin{cfg.Store, func() { c.store.SetFull(true) }}
				})
				time.Sleep(time.Second)
				test.then(c, first)
				life := first.reg.Life()
				first.kill()
				c.store.SetFull(false)
				time.Sleep(10 * time.Second)
				if w := c.elected(); w != second || w.reg.Life() != life {
					t.Errorf("%s leads, in life %v after %v", w.name, w.reg.Life(), life)
				}
			})
		})
	}
}

// TestLifeGoesOnAfterAnInterregnum: a member that joins while there is no writer is greeted
// by the next one.
func TestLifeGoesOnAfterAnInterregnum(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		life := first.reg.Life()
		first.kill()
		time.Sleep(time.Second)
		third := c.start()
		if c.elected() != second {
			t.Fatal("the second does not lead")
		}
		time.Sleep(2 * time.Second)
		second.kill()
		if w := c.elected(); w != third || w.reg.Life() != life {
			t.Errorf("%s leads, in life %v after %v", w.name, w.reg.Life(), life)
		}
	})
}

// TestWitnessGoesFirst: a member that has not seen the writer of the life alive lets one
// lead that has, if there is any, and else begins a new life soon.
func TestWitnessGoesFirst(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(c *cluster, second *node) // when the third has the only key, and follows
		goes bool                           // the life goes on
		in   time.Duration                  // there is a writer
	}{
		{"it gets its key a moment later", func(_ *cluster, second *node) {
			time.Sleep(10 * time.Millisecond)
			second.link.SetLink(memkv.Up)
		}, true, 6 * time.Second},
		{"it gets its key after some seconds", func(_ *cluster, second *node) {
			time.Sleep(3 * time.Second)
			second.link.SetLink(memkv.Up)
		}, true, 6 * time.Second},
		{"it does not come back", func(_ *cluster, second *node) { second.kill() }, false, 6 * time.Second},
		{"other processes have the names", func(c *cluster, second *node) {
			second.kill()
			c.start(func(cfg *Config) { cfg.Name = "m1" })
			c.start(func(cfg *Config) { cfg.Name = "m2" })
		}, false, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
				first, second := c.two()
				first.register(t, "a1")
				time.Sleep(3 * time.Second)
				life := first.reg.Life()
				first.kill()
				second.link.SetLink(memkv.Cut)
				time.Sleep(2 * time.Second)
				third := c.start() // while the keys are listed
				time.Sleep(10 * time.Millisecond)
				if got := third.member.Peers(); len(got) != 3 {
					t.Fatal("the test does not work", got)
				}
				third.link.SetLink(memkv.Cut)
				time.Sleep(10 * time.Second)
				if len(whole(t, c.store).peers) != 0 {
					t.Fatal("the test does not work")
				}
				third.link.SetLink(memkv.Up)
				for len(whole(t, c.store).peers) == 0 || !third.log.has("follows the store again") {
					time.Sleep(10 * time.Millisecond)
				}
				test.then(c, second)
				began := time.Now()
				w := c.elected()
				if (w.reg.Life() == life) != test.goes || time.Since(began) > test.in {
					t.Errorf("%s leads in life %v after %v; the life before was %v", w.name, w.reg.Life(), time.Since(began), life)
				}
				time.Sleep(20 * time.Second)
				if w := c.settled(); (w.reg.Life() == life) != test.goes || !w.has("a1") {
					t.Errorf("%s leads in life %v; the life before was %v", w.name, w.reg.Life(), life)
				}
			})
		})
	}
}
