package member

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// silentStore answers nothing while it is silent, but its servers can be asked how they
// are.
type silentStore struct {
	kv.Store
	silent atomic.Bool
	asked  atomic.Int64 // for its status
}

func (s *silentStore) Get(ctx context.Context, key string) (*kv.Pair, kv.Header, error) {
	if s.silent.Load() {
		<-ctx.Done()
		return nil, kv.Header{}, ctx.Err()
	}
	return s.Store.Get(ctx, key)
}

func (s *silentStore) KeepAlive(ctx context.Context, id kv.LeaseID) error {
	if s.silent.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.KeepAlive(ctx, id)
}

func (s *silentStore) Status(ctx context.Context) kv.Status {
	s.asked.Add(1)
	if ctx.Err() != nil {
		return kv.Status{Error: ctx.Err().Error()}
	}
	return kv.Status{Error: "it has lost the others"}
}

// TestASilentStoreIsAskedWhy: by a member that does not claim to know the writer.
func TestASilentStoreIsAskedWhy(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		s := new(silentStore)
		n := c.start(func(cfg *Config) {
			s.Store = cfg.Store
			cfg.Store = s
		})
		c.elected()
		if st := n.member.Status(t.Context()); st.Writer != n.name || st.Members[0].Role != "writer" {
			t.Errorf("before: %+v", st)
		}
		s.silent.Store(true)
		time.Sleep(time.Minute)
		if st := n.member.Status(t.Context()); st.Store.Error != "it has lost the others" || st.Writer != "" || st.Members[0].Role != "follower" {
			t.Errorf("while the store is silent: %+v", st)
		}
		s.silent.Store(false)
		c.elected()
	})
}

// TestTheStatusOfTheStoreIsFresh: operators wait for it. It is asked for once a second.
func TestTheStatusOfTheStoreIsFresh(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		s := new(silentStore)
		n := c.start(func(cfg *Config) {
			s.Store = cfg.Store
			cfg.Store = s
		})
		c.elected()
		time.Sleep(time.Minute)
		before := s.asked.Load()
		for range 30 {
			n.member.Status(t.Context())
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.asked.Load() - before; n < 2 || n > 4 {
			t.Errorf("in three seconds, the store was asked %d times", n)
		}
	})
}
