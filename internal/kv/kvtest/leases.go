package kvtest

import (
	"fmt"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// shortest is what etcd gives at least, with its defaults.
const shortest = 2 * time.Second

func (e *env) grant(ttl time.Duration) kv.Lease {
	e.Helper()
	l, err := e.store.Grant(e.ctx, ttl)
	e.check("grant", err)
	if l.ID == 0 || l.TTL < ttl {
		e.Fatalf("the lease is %+v, asked for %v", l, ttl)
	}
	return l
}

func leaseEnds(e *env) {
	begun := time.Now()
	kept, left := e.grant(shortest), e.grant(shortest)
	r := e.do(e.putLeased("b", left), e.putLeased("a", left), e.putLeased("kept", kept), e.put("free", ""))
	if p := e.get("a"); p.Lease != left.ID {
		e.Errorf("the pair is %+v, want lease %x", p, left.ID)
	}
	f := e.follow(r)
	gone := make(chan error, 1)
	go func() {
		for len(f.log) == 0 {
			if err := f.next(); err != nil {
				gone <- err
				return
			}
		}
		gone <- nil
	}()
	tick := time.NewTicker(shortest / 4)
	defer tick.Stop()
	for waits := true; waits; {
		select {
		case <-tick.C:
			e.check("keep alive", e.store.KeepAlive(e.ctx, kept.ID))
		case err := <-gone:
			e.check("watch", err)
			waits = false
		}
	}
	took := time.Since(begun)
	if took < left.TTL {
		e.Errorf("the lease of %v ended after %v", left.TTL, took)
	}
	e.within("the end of the lease", left.TTL+patience/2, begun)
	at := f.after
	e.want("its end, at one revision", e.lines(f.log), fmt.Sprintf("%d -a", at), fmt.Sprintf("%d -b", at))
	e.is("keep alive", e.store.KeepAlive(e.ctx, left.ID), kv.ErrLeaseGone)
	e.check("keep the other lease alive", e.store.KeepAlive(e.ctx, kept.ID))
	e.want("what is left", e.list(0), "free=", "kept=leased")
	e.check("revoke", e.store.Revoke(e.ctx, kept.ID))
}

func leaseRevoked(e *env) {
	const keys = 300 // more than a transaction has
	l := e.grant(time.Minute)
	var r int64
	for i := 0; i < keys; {
		var ops []kv.Op
		for ; i < keys && len(ops) < e.store.Limits().Ops; i++ {
			ops = append(ops, e.putLeased(fmt.Sprintf("%03d", i), l))
		}
		r = e.do(ops...)
	}
	f := e.follow(r)
	e.check("revoke", e.open().Revoke(e.ctx, l.ID))
	e.want("what is left", e.list(0))
	f.until(r + 1)
	if len(f.log) != keys {
		e.Fatalf("%d events, want %d", len(f.log), keys)
	}
	for i, ev := range f.log {
		if want := fmt.Sprintf("%s%03d", e.prefix, i); !ev.Deleted || ev.Key != want || ev.Modified != r+1 {
			e.Fatalf("event %d is %+v, want that %s was deleted at %d", i, ev, want, r+1)
		}
	}
}

func leaseGone(e *env) {
	l := e.grant(time.Minute)
	e.check("keep alive", e.open().KeepAlive(e.ctx, l.ID))
	e.check("revoke", e.store.Revoke(e.ctx, l.ID))
	e.check("revoke again", e.store.Revoke(e.ctx, l.ID))
	e.is("keep alive", e.store.KeepAlive(e.ctx, l.ID), kv.ErrLeaseGone)
	before := e.now()
	_, err := e.store.Txn(e.ctx, kv.Txn{Then: []kv.Op{e.put("a", ""), e.putLeased("b", l), e.put("c", "")}})
	e.is("put with the lease", err, kv.ErrLeaseGone)
	e.want("nothing of the transaction was done", e.list(0))
	r, err := e.store.Txn(e.ctx, kv.Txn{If: []kv.Compare{{Key: e.prefix + "absent", Is: before}}, Then: []kv.Op{e.putLeased("b", l)}})
	if err != nil || r.Done {
		e.Errorf("if the condition does not hold, the lease is not looked at; done is %v, the error %v", r.Done, err)
	}
	if now := e.now(); now != before {
		e.Errorf("the revision is %d, was %d", now, before)
	}
	if again := e.grant(time.Minute); again.ID == l.ID {
		e.Errorf("lease %x was given twice", l.ID)
	} else {
		e.check("revoke", e.store.Revoke(e.ctx, again.ID))
	}
}

// leaseLeft: a key belongs to the lease of its last put.
func leaseLeft(e *env) {
	first, second := e.grant(time.Minute), e.grant(time.Minute)
	e.do(e.putLeased("stays", first), e.putLeased("freed", first), e.putLeased("moves", first), e.putLeased("again", first))
	e.do(e.put("freed", "free"), e.putLeased("moves", second), e.del("again"))
	e.do(e.put("again", "free"), e.put("joins", "free"))
	e.do(e.putLeased("joins", first))
	e.check("revoke", e.store.Revoke(e.ctx, first.ID))
	e.want("after the first", e.list(0), "again=free", "freed=free", "moves=leased")
	e.check("revoke", e.store.Revoke(e.ctx, second.ID))
	e.want("after the second", e.list(0), "again=free", "freed=free")
}

// Tests: suite_test.go, mutant_test.go.
