package kvtest

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func compaction(e *env) {
	if e.Compact == nil {
		e.t.Skip("this store cannot be compacted from here")
	}
	first := e.do(e.put("a", "1"), e.put("gone", "1"))
	e.do(e.put("a", "2"), e.del("gone"))
	at := e.do(e.put("a", "3"))
	last := e.do(e.put("a", "4"))
	e.Compact(at)
	_, err := e.store.Range(e.ctx, e.prefix, first, func(kv.Pair) error { return nil })
	e.is("range at a compacted revision", err, kv.ErrCompacted)
	_, err = e.store.Watch(context.Background(), e.prefix, first).Next(e.ctx)
	e.is("watch after a compacted revision", err, kv.ErrCompacted)
	e.want("range at the revision of the compaction", e.list(at), "a=3")
	e.want("range", e.list(0), "a=4")
	f := e.follow(at)
	f.until(last)
	e.want("watch after the revision of the compaction", e.lines(f.log), fmt.Sprintf("%d a=4", last))
	if p := e.get("a"); p.Created != first {
		e.Errorf("a was created at %d, says the store now, it was %d", p.Created, first)
	}

	// A watch that has everything goes on.
	e.Compact(last)
	last = e.do(e.put("a", "5"))
	f.until(last)
}

func full(e *env) {
	if e.Full == nil {
		e.t.Skip("this store cannot be filled from here")
	}
	l := e.grant(time.Minute)
	e.do(e.put("a", "1"), e.put("b", "1"), e.putLeased("c", l))
	e.Full(true)
	ended := false
	defer func() {
		if !ended {
			e.Full(false)
		}
	}()
	before := e.now()
	_, err := e.store.Txn(e.ctx, kv.Txn{Then: []kv.Op{e.put("a", "2")}})
	e.is("put", err, kv.ErrNoSpace)
	_, err = e.store.Txn(e.ctx, kv.Txn{Then: []kv.Op{e.del("a"), e.put("b", "2")}})
	e.is("delete and put", err, kv.ErrNoSpace)
	_, err = e.store.Grant(e.ctx, time.Minute)
	e.is("grant", err, kv.ErrNoSpace)
	if st := e.store.Status(e.ctx); st.Alarm != "NOSPACE" {
		e.Errorf("the status is %+v, want alarm NOSPACE", st)
	}
	if now := e.now(); now != before {
		e.Errorf("the revision is %d after what was refused, was %d", now, before)
	}
	e.want("range", e.list(0), "a=1", "b=1", "c=leased")
	f := e.follow(before)
	r := e.do(e.del("a"))
	f.until(r)
	e.want("watch", e.lines(f.log), fmt.Sprintf("%d -a", r))
	e.check("keep alive", e.store.KeepAlive(e.ctx, l.ID))
	e.check("revoke", e.store.Revoke(e.ctx, l.ID))
	e.want("what is left", e.list(0), "b=1")
	e.Full(false)
	ended = true
	e.do(e.put("a", "3"))
	if st := e.store.Status(e.ctx); st.Alarm != "" {
		e.Errorf("the status is %+v, want no alarm", st)
	}
}

// calls are all methods that get a context.
func (e *env) calls(s kv.Store, l kv.LeaseID) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"get": func(ctx context.Context) error { _, _, err := s.Get(ctx, e.prefix); return err },
		"range": func(ctx context.Context) error {
			_, err := s.Range(ctx, e.prefix, 0, func(kv.Pair) error { return nil })
			return err
		},
		"transaction": func(ctx context.Context) error {
			_, err := s.Txn(ctx, kv.Txn{Then: []kv.Op{e.put("ended", "")}})
			return err
		},
		"grant":      func(ctx context.Context) error { _, err := s.Grant(ctx, shortest); return err },
		"keep alive": func(ctx context.Context) error { return s.KeepAlive(ctx, l) },
		"revoke":     func(ctx context.Context) error { return s.Revoke(ctx, l) },
		"watch":      func(ctx context.Context) error { _, err := s.Watch(ctx, e.prefix, 0).Next(ctx); return err },
		"watch with a context that lasts": func(ctx context.Context) error {
			w := s.Watch(context.Background(), e.prefix, 0)
			defer w.Close()
			_, err := w.Next(ctx)
			return err
		},
	}
}

func closed(e *env) {
	l := e.grant(time.Minute)
	e.do(e.putLeased("leased", l))
	s := e.open()
	w := s.Watch(context.Background(), e.prefix, e.now())
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := w.Next(context.Background()); err != nil {
				ended <- err
				return
			}
		}
	}()
	e.check("keep alive", s.KeepAlive(e.ctx, l.ID))
	e.check("close", s.Close())
	select {
	case err := <-ended:
		e.is("the watch that waited", err, kv.ErrClosed)
	case <-time.After(patience):
		e.Fatalf("Close does not end a watch")
	}
	for name, call := range e.calls(s, l.ID) {
		e.is(name+" after Close", call(e.ctx), kv.ErrClosed)
	}
	s.Close() // twice is no harm
	if st := s.Status(e.ctx); st.Error == "" {
		e.Errorf("the status after Close is %+v", st)
	}
	e.check("keep alive by another connection", e.store.KeepAlive(e.ctx, l.ID))
	e.want("after Close", e.list(0), "leased=leased")
	e.check("revoke", e.store.Revoke(e.ctx, l.ID))
}

func contexts(e *env) {
	l := e.grant(time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range e.calls(e.store, l.ID) {
		begun := time.Now()
		e.is(name+" with a context that has ended", call(ctx), context.Canceled, kv.ErrUnavailable, kv.ErrUncertain)
		e.within(name+" with a context that has ended", patience/2, begun)
	}
	if st := e.store.Status(ctx); st.Error == "" {
		e.Errorf("the status with a context that has ended is %+v", st)
	}
	e.check("revoke", e.store.Revoke(e.ctx, l.ID))
}

// Tests: suite_test.go, mutant_test.go.
