package member

import (
	"context"
	"fmt"
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

// stuckStore is a store whose watches deliver nothing while they are stuck: all else works.
type stuckStore struct {
	kv.Store
	stuck atomic.Bool
	freed chan struct{} // closed when they are not stuck any more
}

func (s *stuckStore) Watch(ctx context.Context, prefix string, after int64) kv.Watch {
	return &stuckWatch{s.Store.Watch(ctx, prefix, after), s}
}

type stuckWatch struct {
	kv.Watch
	s *stuckStore
}

func (w *stuckWatch) Next(ctx context.Context) (kv.Changes, error) {
	changes, err := w.Watch.Next(ctx)
	if w.s.stuck.Load() {
		select {
		case <-w.s.freed:
		case <-ctx.Done():
			return kv.Changes{}, ctx.Err()
		}
	}
	return changes, err
}

// TestWriterWhoseWatchIsStuck: a writer whose key was deleted, and that does not hear of
// it, soon acknowledges nothing more, renewals included.
func TestWriterWhoseWatchIsStuck(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		s := &stuckStore{freed: make(chan struct{})}
		defer close(s.freed)
		first := c.start(func(cfg *Config) {
			s.Store = cfg.Store
			cfg.Store = s
		})
		c.elected()
		second := c.start()
		first.register(t, "a1")
		c.settled()
		time.Sleep(2 * time.Second)
		s.stuck.Store(true)
		for _, p := range second.member.Peers() {
			if p.Name == first.name {
				c.operate(kv.Op{Key: p.Key, Delete: true})
			}
		}
		time.Sleep(4 * time.Second)
		if !second.reg.Leads() {
			t.Fatal("the other does not lead")
		}
		if first.mayAcknowledge() {
			t.Error("it acknowledges renewals, and another is the writer")
		}
	})
}

// TestWriterHearsOfMembersAgain: a writer whose watch is stuck lets it begin again, or it
// would know no member that joins, and refuse what that passes on.
func TestWriterHearsOfMembersAgain(t *testing.T) {
	for name, busy := range map[string]bool{"quiet": false, "busy": true} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			s := &stuckStore{freed: make(chan struct{})}
			defer close(s.freed)
			first := c.start(func(cfg *Config) {
				s.Store = cfg.Store
				cfg.Store = s
			})
			c.elected()
			time.Sleep(3 * time.Second)
			s.stuck.Store(true)
			if busy {
				first.register(t, "a1")
			}
			time.AfterFunc(time.Second, func() { s.stuck.Store(false) }) // a watch that begins after this works
			c.start()
			time.Sleep(15 * time.Second)
			if n := len(first.member.Peers()); n != 2 || !first.reg.Leads() {
				t.Errorf("%s: it knows %d of 2 members, and leads: %t", name, n, first.reg.Leads())
			}
		})
	}
}

// slowStore is a store in which things happen between two requests of this member.
type slowStore struct {
	kv.Store
	armed atomic.Bool
	then  func() bool // after the next read of the head; false: this was not the one
}

func (s *slowStore) Get(ctx context.Context, key string) (*kv.Pair, kv.Header, error) {
	pair, h, err := s.Store.Get(ctx, key)
	if key == under.head() && err == nil && s.armed.Load() && s.then() {
		s.armed.Store(false)
	}
	return pair, h, err
}

// TestRoomThatComesDuringALook: the head and the spare keys are those of one revision, or
// a store that is filled again looked as if it had lost something.
func TestRoomThatComesDuringALook(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		var slow [2]*slowStore
		for i := range slow {
			slow[i] = &slowStore{}
			c.start(func(cfg *Config) {
				slow[i].Store = cfg.Store
				cfg.Store = slow[i]
			})
			c.elected()
		}
		w := c.settled()
		time.Sleep(3 * time.Second)
		for _, s := range slow {
			for i := range 5 {
				w.register(t, fmt.Sprint("a", i))
			}
			c.store.SetFull(true)
			for i := range 5 {
				if _, err := w.reg.Deregister(t.Context(), registration(fmt.Sprint("a", i)).Key, nil); err != nil {
					t.Fatal(err)
				}
			}
			s.then = func() bool {
				j := w.member.leads.Load()
				if !j.mu.TryLock() {
					return false // a transaction reads the head
				}
				j.mu.Unlock()
				c.store.SetFull(false)
				j.fill(t)
				return true
			}
			s.armed.Store(true)
			time.Sleep(time.Minute)
			if s.armed.Load() || len(whole(t, c.store).pos.spares) != mostSpares {
				t.Fatal("the test does not work")
			}
		}
		for _, n := range c.nodes {
			if n.log.has("changed from outside") {
				t.Errorf("%s took the store for one that lost something\n%s", n.name, n.log)
			}
		}
	})
}
