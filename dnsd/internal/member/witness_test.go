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
