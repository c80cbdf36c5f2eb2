package kvtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// follower reads a watch, and checks what every watch keeps to.
type follower struct {
	e       *env
	store   kv.Store
	w       kv.Watch
	after   int64 // all up to this revision was delivered
	cluster uint64
	log     []kv.Event
}

// follow watches the prefix after a revision.
func (e *env) follow(after int64) *follower {
	f := &follower{e: e, store: e.store, after: after}
	f.again()
	return f
}

// again closes the watch, and continues with another.
func (f *follower) again() {
	if f.w != nil {
		f.w.Close()
	}
	f.w = f.store.Watch(context.Background(), f.e.prefix, f.after)
	if f.e.t != nil {
		f.e.t.Cleanup(f.w.Close)
	}
}

// next takes the next changes into the log.
func (f *follower) next() error {
	c, err := f.w.Next(f.e.ctx)
	if err != nil {
		return err
	}
	f.cluster = c.Header.Cluster
	if c.Header.Cluster == 0 {
		return errors.New("changes without a cluster in the header")
	}
	last := f.after
	for _, ev := range c.Events {
		switch {
		case !strings.HasPrefix(ev.Key, f.e.prefix):
			return fmt.Errorf("key %s is not of the prefix", ev.Key)
		case ev.Modified <= f.after:
			return fmt.Errorf("revision %d after %d was delivered", ev.Modified, f.after)
		case ev.Modified < last:
			return fmt.Errorf("revision %d after %d", ev.Modified, last)
		case ev.Deleted && (ev.Value != nil || ev.Lease != 0 || ev.Created != 0):
			return fmt.Errorf("a deleted key has more than a revision: %+v", ev)
		case !ev.Deleted && (ev.Created == 0 || ev.Created > ev.Modified):
			return fmt.Errorf("a key that was put has created %d, modified %d", ev.Created, ev.Modified)
		}
		last = ev.Modified
	}
	switch {
	case len(c.Events) > 0 && c.Header.Revision != last:
		return fmt.Errorf("the header has revision %d, the last event has %d", c.Header.Revision, last)
	case len(c.Events) == 0:
		last = max(last, c.Header.Revision) // lower: the watch begins in the future
	}
	f.after = last
	f.log = append(f.log, c.Events...)
	return nil
}

// until reads until a revision, at which a key below the prefix has changed.
func (f *follower) until(revision int64) {
	f.e.Helper()
	for f.after < revision {
		if err := f.next(); err != nil {
			f.e.Fatalf("watch after revision %d: %v", f.after, err)
		}
	}
}

func watchAfter(e *env) {
	var revisions []int64
	for i := range 6 {
		revisions = append(revisions, e.do(e.put("k", fmt.Sprint(i))))
	}
	now := revisions[5]
	past, current, future := e.follow(revisions[2]), e.follow(now), e.follow(now+2)
	past.until(now)
	e.want("after a past revision", e.lines(past.log),
		fmt.Sprintf("%d k=3", revisions[3]), fmt.Sprintf("%d k=4", revisions[4]), fmt.Sprintf("%d k=5", now))
	var r [4]int64
	for i := range r {
		r[i] = e.do(e.put("new", fmt.Sprint(i)))
	}
	current.until(r[3])
	e.want("after the newest revision", e.lines(current.log), fmt.Sprintf("%d new=0", r[0]),
		fmt.Sprintf("%d new=1", r[1]), fmt.Sprintf("%d new=2", r[2]), fmt.Sprintf("%d new=3", r[3]))
	future.until(r[3])
	e.want("after a future revision", e.lines(future.log), fmt.Sprintf("%d new=2", r[2]), fmt.Sprintf("%d new=3", r[3]))
	if now+2 != r[1] {
		e.Errorf("two transactions after revision %d have revision %d: does another client write?", now, r[1])
	}
}

func watchPrefix(e *env) {
	whole := e.prefix
	after := e.now()
	e.prefix = whole + "a/"
	f := e.follow(after)
	e.prefix = whole
	e.do(e.put("a", "no"), e.put("a.", "no"), e.put("a0", "no"))
	r := e.do(e.put("a/", "yes"), e.put("b", "no"), e.put("a/\xff", "yes"), e.put("a//", "yes"))
	e.do(e.del("a"), e.put("b", "no"))
	last := e.do(e.del("b"), e.del("a/"))
	f.until(last)
	e.want("events", e.lines(f.log), fmt.Sprintf("%d a/=yes", r), fmt.Sprintf("%d a/\xff=yes", r),
		fmt.Sprintf("%d a//=yes", r), fmt.Sprintf("%d -a/", last))
}

// watchWhole has revisions with many and large events, from the past and as they come.
func watchWhole(e *env) {
	const revisions = 6
	l := e.store.Limits()
	value := strings.Repeat("v", min(l.Bytes/l.Ops/2, 8<<10))
	before := e.now()
	live := e.follow(before)
	var last int64
	for range revisions {
		var ops []kv.Op
		for i := range l.Ops {
			ops = append(ops, e.put(fmt.Sprint(i), value))
		}
		last = e.do(ops...)
	}
	past := e.follow(before)
	for name, f := range map[string]*follower{"live": live, "past": past} {
		for f.after < last {
			had := len(f.log)
			if err := f.next(); err != nil {
				e.Fatalf("%s: %v", name, err)
			}
			if n := len(f.log) - had; n%l.Ops != 0 {
				e.Fatalf("%s: the watch has %d events at once, of revisions that have %d each", name, n, l.Ops)
			}
		}
		if len(f.log) != revisions*l.Ops {
			e.Errorf("%s: %d events, want %d", name, len(f.log), revisions*l.Ops)
		}
	}
}

// watchResumes ends the watch after each delivery.
func watchResumes(e *env) {
	const changes = 60
	before := e.now()
	f := e.follow(before)
	other := e.open()
	var want []string
	var last int64
	for i := range changes {
		last = e.do(e.put(fmt.Sprint(i%7), fmt.Sprint(i)), e.put(fmt.Sprint(i%5+10), fmt.Sprint(i)))
		want = append(want, fmt.Sprintf("%d %d=%d", last, i%7, i), fmt.Sprintf("%d %d=%d", last, i%5+10, i))
		if i%3 != 0 {
			continue // the next watch begins in the past
		}
		if err := f.next(); err != nil {
			e.Fatalf("watch after revision %d: %v", f.after, err)
		}
		f.store, other = other, f.store
		f.again()
	}
	f.until(last)
	e.want("events of all watches", e.lines(f.log), want...)
}

// watchersAgree has several clients that write, and several that watch and begin again.
func watchersAgree(e *env) {
	const clients, each = 3, 25
	before := e.now()
	var mu sync.Mutex
	written := map[int64][]string{} // by revision
	var writers, watchers sync.WaitGroup
	for c := range clients {
		s := e.open()
		writers.Go(func() {
			for i := range each {
				ops := []kv.Op{e.put(fmt.Sprint(i%4), fmt.Sprintf("%d/%d", c, i)), e.put(fmt.Sprint(10+c), fmt.Sprint(i))}
				r, err := s.Txn(e.ctx, kv.Txn{Then: ops})
				if err != nil {
					e.Errorf("transaction: %v", err)
					return
				}
				mu.Lock()
				for _, op := range ops {
					written[r.Header.Revision] = append(written[r.Header.Revision], e.lines([]kv.Event{{Pair: kv.Pair{Key: op.Key, Value: op.Value, Modified: r.Header.Revision}}})...)
				}
				mu.Unlock()
			}
		})
	}
	followers := make([]*follower, 3)
	for i := range followers {
		f := e.follow(before)
		followers[i] = f
		watchers.Go(func() {
			for n := 0; len(f.log) < clients*each*2; n++ {
				if err := f.next(); err != nil {
					e.Errorf("watcher %d after revision %d: %v", i, f.after, err)
					return
				}
				if n%(i+2) == i+1 {
					f.again()
				}
			}
		})
	}
	writers.Wait()
	watchers.Wait()
	var want []string
	for _, revision := range slices.Sorted(maps.Keys(written)) {
		want = append(want, written[revision]...)
	}
	for _, f := range followers {
		e.want("the events of a watcher", e.lines(f.log), want...)
	}
}

func watchEnds(e *env) {
	waiting := func(w kv.Watch, ctx context.Context) <-chan error {
		err := make(chan error, 1)
		go func() {
			for {
				if _, e := w.Next(ctx); e != nil {
					err <- e
					return
				}
			}
		}()
		return err
	}
	over := func(what string, w kv.Watch, ended <-chan error, wants ...error) {
		e.Helper()
		select {
		case err := <-ended:
			if len(wants) > 0 {
				e.is(what, err, wants...)
			}
		case <-time.After(patience):
			e.Fatalf("%s: Next does not return", what)
		}
		e.do(e.put("k", what))
		if c, err := w.Next(e.ctx); err == nil {
			e.Errorf("%s: the watch goes on with %+v", what, c)
		}
		w.Close() // twice is no harm
	}
	w := e.store.Watch(context.Background(), e.prefix, e.now())
	ended := waiting(w, context.Background())
	w.Close()
	over("Close", w, ended)

	ctx, cancel := context.WithCancel(context.Background())
	w = e.store.Watch(ctx, e.prefix, e.now())
	ended = waiting(w, context.Background())
	cancel()
	over("the end of the watch's context", w, ended, context.Canceled)

	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	w = e.store.Watch(context.Background(), e.prefix, e.now())
	over("the end of Next's context", w, waiting(w, ctx), context.DeadlineExceeded)
}

// Tests: suite_test.go, mutant_test.go.
