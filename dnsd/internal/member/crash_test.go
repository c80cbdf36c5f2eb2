package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// crashing is the store of a process that dies at one of its requests to the store: before
// it arrives, or after it was done and before the answer.
type crashing struct {
	kv.Store
	at    int  // the request at which it dies; 0: it does not
	after bool // the request is done

	mu   sync.Mutex
	n    int // requests so far
	died chan struct{}
}

var errDead = errors.New("the process has died")

func (s *crashing) dead() bool {
	select {
	case <-s.died:
		return true
	default:
		return false
	}
}

// arm lets the process die at a request from now on.
func (s *crashing) arm(at int, after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.after, s.n = at, after, 0
}

// request does a request, unless the process has died.
func (s *crashing) request(do func() error) error {
	s.mu.Lock()
	if s.dead() {
		s.mu.Unlock()
		return errDead
	}
	s.n++
	dies := s.n == s.at
	if dies {
		close(s.died)
	}
	after := s.after
	s.mu.Unlock()
	if dies && !after {
		return errDead
	}
	if err := do(); !dies {
		return err
	}
	return errDead
}

func (s *crashing) Get(ctx context.Context, key string) (p *kv.Pair, h kv.Header, err error) {
	err = s.request(func() (err error) { p, h, err = s.Store.Get(ctx, key); return err })
	return p, h, err
}

func (s *crashing) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (h kv.Header, err error) {
	err = s.request(func() (err error) { h, err = s.Store.Range(ctx, prefix, at, each); return err })
	return h, err
}

func (s *crashing) Txn(ctx context.Context, t kv.Txn) (r kv.Result, err error) {
	err = s.request(func() (err error) { r, err = s.Store.Txn(ctx, t); return err })
	return r, err
}

func (s *crashing) Grant(ctx context.Context, ttl time.Duration) (l kv.Lease, err error) {
	err = s.request(func() (err error) { l, err = s.Store.Grant(ctx, ttl); return err })
	return l, err
}

func (s *crashing) Revoke(ctx context.Context, id kv.LeaseID) error {
	return s.request(func() error { return s.Store.Revoke(ctx, id) })
}

func (s *crashing) KeepAlive(ctx context.Context, id kv.LeaseID) error {
	return s.request(func() error { return s.Store.KeepAlive(ctx, id) })
}

// startCrashing starts a member whose process dies at a request.
func (c *cluster) startCrashing(at int, after bool) (*node, *crashing) {
	s := &crashing{at: at, after: after, died: make(chan struct{})}
	return c.start(func(cfg *Config) {
		s.Store = cfg.Store
		cfg.Store = s
	}), s
}

// crashes runs a scenario again and again: its process dies at the first request, at the
// second, and so on, until it gets to its end. It returns how many crashes there were.
func crashes(t *testing.T, config memkv.Config, scenario func(t *testing.T, c *cluster, at int, after bool) (died bool)) int {
	t.Helper()
	n := 0
	for at := 1; ; at++ {
		died := false
		for _, after := range []bool{false, true} {
			inBubble(t, config, func(t *testing.T, c *cluster) {
				died = scenario(t, c, at, after) || died
			})
			if t.Failed() {
				t.Fatalf("after a crash at request %d, done %t", at, after)
			}
		}
		if !died {
			return n
		}
		n++
	}
}

// workload is a life of a writer: registrations, batches that are divided, removals, a
// full store, and room again.
func workload(c *cluster, n *node, s *crashing, l *ledger) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.died:
			cancel()
		case <-ctx.Done():
		}
	}()
	many := func(removes bool, from, to int) {
		var all sync.WaitGroup
		for i := from; i < to; i++ {
			all.Go(func() { l.write(ctx, n, fmt.Sprint("b", i), removes, s.dead) })
		}
		all.Wait()
	}
	for !n.reg.Leads() && !s.dead() {
		time.Sleep(time.Millisecond)
	}
	l.write(ctx, n, "a1", false, s.dead)
	l.write(ctx, n, "a2", false, s.dead)
	l.write(ctx, n, "a1", true, s.dead)
	many(false, 0, 12)
	many(true, 0, 3)
	time.Sleep(1500 * time.Millisecond) // the spare keys are there now
	c.store.SetFull(true)
	l.write(ctx, n, "a2", true, s.dead)
	l.write(ctx, n, "a3", false, s.dead)
	many(true, 3, 8)
	c.store.SetFull(false)
	l.write(ctx, n, "a4", false, s.dead)
	time.Sleep(4 * time.Second)
	l.write(ctx, n, "a2", false, s.dead)
}

// few are limits with which batches are divided. The spare keys need few transactions
// all the same.
var few = kv.Limits{Ops: 260, Bytes: 15_000}

// TestCrashOfTheWriter: at whatever request the writer dies, a follower leads with
// everything that was acknowledged, and one that starts later has the same.
func TestCrashOfTheWriter(t *testing.T) {
	n := crashes(t, memkv.Config{Limits: few}, func(t *testing.T, c *cluster, at int, after bool) bool {
		l, all := newLedger(t), newChronicle()
		first, s := c.startCrashing(0, false)
		c.elected()
		second := c.start()
		c.settled()
		s.arm(at, after)
		workload(c, first, s, l)
		died := s.dead()
		all.note(t, second)
		first.stop()
		c.store.SetFull(false)
		w := c.elected()
		if w != second {
			t.Errorf("%s leads", w.name)
		}
		time.Sleep(3 * time.Second) // what is owed to the store is written
		l.check(w)
		all.note(t, w)
		c.stored(w)
		third := c.start()
		c.settled()
		l.check(third)
		if got, want := fencesText(third.reg.Content()), fencesText(w.reg.Content()); got != want {
			t.Errorf("fences\n%s\nwant\n%s", got, want)
		}
		l.write(context.Background(), w, "a9", false, nil)
		c.settled()
		for _, n := range c.nodes[1:] {
			l.check(n)
			all.note(t, n)
		}
		return died
	})
	t.Logf("%d requests", n)
	if n < 20 {
		t.Errorf("the scenario has only %d requests", n)
	}
}

// TestCrashOfTheOnlyMember: at whatever request it dies, the next process has everything
// that was acknowledged, and no revision has two meanings.
func TestCrashOfTheOnlyMember(t *testing.T) {
	n := crashes(t, memkv.Config{Limits: few}, func(t *testing.T, c *cluster, at int, after bool) bool {
		l, all := newLedger(t), newChronicle()
		first, s := c.startCrashing(at, after)
		workload(c, first, s, l)
		died := s.dead()
		all.note(t, first)
		first.stop()
		c.store.SetFull(false)
		for range 2 {
			next := c.start()
			w := c.elected()
			time.Sleep(2 * time.Second)
			l.check(w)
			all.note(t, w)
			c.stored(w)
			l.write(context.Background(), w, "a9", false, nil)
			all.note(t, w)
			next.kill()
		}
		return died
	})
	t.Logf("%d requests", n)
}

// TestCrashWhileTheStoreIsWrittenBack: the store was emptied, and the writer dies at any
// request after that. The others lose nothing.
func TestCrashWhileTheStoreIsWrittenBack(t *testing.T) {
	n := crashes(t, memkv.Config{Limits: few}, func(t *testing.T, c *cluster, at int, after bool) bool {
		l, all := newLedger(t), newChronicle()
		first, s := c.startCrashing(0, false)
		c.elected()
		second := c.start()
		c.settled()
		for i := range 80 {
			l.write(context.Background(), first, fmt.Sprint("a", i), false, nil)
		}
		l.write(context.Background(), first, "a0", true, nil)
		c.settled()
		all.note(t, first)
		s.arm(at, after)
		c.wipe()
		for range 30_000 {
			synctest.Wait()
			if s.dead() || c.writer() != nil && c.writer().reg.Revision() > l.highest {
				break
			}
			time.Sleep(time.Millisecond)
		}
		died := s.dead()
		first.kill()
		w := c.elected()
		l.check(w)
		all.note(t, w)
		time.Sleep(2 * time.Second)
		c.stored(w)
		l.write(context.Background(), w, "b1", false, nil)
		third := c.start()
		c.settled()
		l.check(third)
		all.note(t, second)
		all.note(t, third)
		return died
	})
	t.Logf("%d requests", n)
}

// wipe deletes everything under the prefix, as an operator may.
func (c *cluster) wipe() {
	s := c.store.Open("operator")
	defer s.Close()
	var ops []kv.Op
	if _, err := s.Range(context.Background(), under.all(), 0, func(p kv.Pair) error {
		ops = append(ops, kv.Op{Key: p.Key, Delete: true})
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	for len(ops) > 0 {
		some := ops[:min(len(ops), 100)]
		ops = ops[len(some):]
		mustTxn(c.t, s, some...)
	}
}
