package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func readsSeeWrites(e *env) {
	if p := e.get("k"); p != nil {
		e.Errorf("a key that was never put has %q", p.Value)
	}
	other := e.open()
	for i := range 50 {
		want := fmt.Sprint(i)
		r := e.do(e.put("k", want))
		p, h, err := other.Get(e.ctx, e.prefix+"k")
		e.check("get", err)
		if p == nil || string(p.Value) != want || h.Revision < r {
			e.Fatalf("after put %s at revision %d, another connection gets %+v at %d", want, r, p, h.Revision)
		}
		n := 0
		h, err = other.Range(e.ctx, e.prefix, 0, func(p kv.Pair) error {
			n++
			if string(p.Value) != want {
				e.Fatalf("after put %s, another connection ranges over %s", want, p.Value)
			}
			return nil
		})
		e.check("range", err)
		if n != 1 || h.Revision < r {
			e.Fatalf("a range has %d keys at revision %d, want 1 at %d", n, h.Revision, r)
		}
	}
}

func revisionsOfAPair(e *env) {
	want := func(what string, created, modified int64) {
		e.Helper()
		p := e.get("k")
		if p == nil || p.Created != created || p.Modified != modified {
			e.Errorf("%s: the pair is %+v, want created %d, modified %d", what, p, created, modified)
		}
	}
	r1 := e.do(e.put("k", "1"))
	want("put", r1, r1)
	r2 := e.do(e.put("k", "1"))
	if r2 <= r1 {
		e.Errorf("the second put has revision %d after %d", r2, r1)
	}
	want("put again", r1, r2)
	e.do(e.put("other", ""))
	want("put of another key", r1, r2)
	r3 := e.do(e.del("k"))
	if p := e.get("k"); p != nil || r3 <= r2 {
		e.Errorf("delete at %d after %d: the pair is %+v", r3, r2, p)
	}
	r4 := e.do(e.put("k", "2"))
	want("put after the delete", r4, r4)
}

func rangeOrder(e *env) {
	whole := e.prefix
	e.do(e.put("a0", "no"), e.put("a.", "no"), e.put("a", "no"), e.put("b", "no"))
	for _, key := range []string{"b", "\x00", "a/b", "ä", "a", "Z", "a-b"} { // not in order
		e.do(e.put("a/"+key, "yes"))
	}
	e.prefix += "a/"
	e.want("range", e.list(0), "\x00=yes", "Z=yes", "a=yes", "a-b=yes", "a/b=yes", "b=yes", "ä=yes")
	e.prefix = whole + "a/n" // nothing begins so
	e.want("range of nothing", e.list(0))
	e.prefix = whole + "b" // this is a whole key
	e.want("range of a key", e.list(0), "=no")
}

// manyKeys are more than a store reads at once.
const manyKeys = 2500

func rangeOfOneRevision(e *env) {
	key := func(i int) string { return fmt.Sprintf("%06d", i) }
	var ops []kv.Op
	var at int64
	for i := range manyKeys {
		ops = append(ops, e.put(key(i), "old"))
		if len(ops) == e.store.Limits().Ops || i == manyKeys-1 {
			at = e.do(ops...)
			ops = nil
		}
	}
	n := 0
	h, err := e.store.Range(e.ctx, e.prefix, 0, func(p kv.Pair) error {
		if n == 0 {
			e.do(e.put(key(manyKeys-1), "new"), e.del(key(manyKeys-2)), e.put(key(manyKeys-3)+"a", "new"))
		}
		if want := e.prefix + key(n); p.Key != want || string(p.Value) != "old" {
			e.Fatalf("pair %d of the range is %s=%s, want %s=old", n, p.Key, p.Value, want)
		}
		n++
		return nil
	})
	e.check("range", err)
	if n != manyKeys || h.Revision != at {
		e.Errorf("the range has %d keys at revision %d, want %d at %d", n, h.Revision, manyKeys, at)
	}
}

func rangeOfOldRevision(e *env) {
	r1 := e.do(e.put("a", "1"), e.put("b", "1"))
	r2 := e.do(e.put("a", "2"), e.put("c", "2"))
	r3 := e.do(e.del("a"), e.put("b", "3"))
	r4 := e.do(e.put("a", "4"))
	e.want("before all", e.list(r1-1))
	e.want("at the first", e.list(r1), "a=1", "b=1")
	e.want("at the second", e.list(r2), "a=2", "b=1", "c=2")
	e.want("at the third", e.list(r3), "b=3", "c=2")
	e.want("at the fourth", e.list(r4), "a=4", "b=3", "c=2")
	e.want("now", e.list(0), "a=4", "b=3", "c=2")
	_, err := e.store.Range(e.ctx, e.prefix, r4+100, func(kv.Pair) error { return nil })
	e.is("range at a revision that is not reached", err, kv.ErrCompacted)
}

func rangeError(e *env) {
	e.do(e.put("a", ""), e.put("b", ""))
	enough := errors.New("enough")
	n := 0
	_, err := e.store.Range(e.ctx, e.prefix, 0, func(kv.Pair) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		e.Errorf("the range ended after %d pairs with %v, want after 1 with the error of the callback", n, err)
	}
}

func values(e *env) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	mine := bytes.Clone(all)
	op := kv.Op{Key: e.prefix + "all", Value: mine}
	r := e.do(op, e.put("empty", ""))
	clear(mine) // the caller may use it again
	p := e.get("all")
	if !bytes.Equal(p.Value, all) {
		e.Fatalf("the value is % x", p.Value)
	}
	clear(p.Value) // this one is the caller's, too
	if p := e.get("all"); !bytes.Equal(p.Value, all) {
		e.Errorf("the value is % x after a reader changed its own", p.Value)
	}
	if p := e.get("empty"); p == nil || len(p.Value) != 0 {
		e.Errorf("an empty value is %+v", p)
	}
	f := e.follow(r - 1)
	f.until(r)
	if len(f.log) != 2 || !bytes.Equal(f.log[0].Value, all) {
		e.Errorf("a watch has %+v", f.log)
	}
}

func clusterID(e *env) {
	r, err := e.store.Txn(e.ctx, kv.Txn{Then: []kv.Op{e.put("k", "")}})
	e.check("transaction", err)
	id := r.Header.Cluster
	_, get, err := e.open().Get(e.ctx, e.prefix)
	e.check("get", err)
	ranged, err := e.store.Range(e.ctx, e.prefix, 0, func(kv.Pair) error { return nil })
	e.check("range", err)
	not, err := e.store.Txn(e.ctx, kv.Txn{If: []kv.Compare{{Key: e.prefix + "k"}}})
	e.check("transaction", err)
	f := e.follow(r.Header.Revision - 1)
	f.until(r.Header.Revision)
	if id == 0 || get.Cluster != id || ranged.Cluster != id || not.Header.Cluster != id || f.cluster != id {
		e.Errorf("the cluster is %x, in get %x, in range %x, in a transaction that is not done %x, in a watch %x",
			id, get.Cluster, ranged.Cluster, not.Header.Cluster, f.cluster)
	}
}

func status(e *env) {
	st := e.store.Status(e.ctx)
	if st.Error != "" || st.Alarm != "" || st.Version == "" || len(st.Nodes) == 0 {
		e.Errorf("the status is %+v", st)
	}
	leaders := 0
	for _, n := range st.Nodes {
		if n.Leader {
			leaders++
		}
		if !n.Healthy || n.Error != "" || n.URL == "" {
			e.Errorf("the node is %+v", n)
		}
	}
	if leaders != 1 {
		e.Errorf("%d nodes are leaders", leaders)
	}
}

// lines writes events as "REVISION key=value" or "REVISION -key", without the prefix.
func (e *env) lines(events []kv.Event) (lines []string) {
	for _, ev := range events {
		key := strings.TrimPrefix(ev.Key, e.prefix)
		if ev.Deleted {
			lines = append(lines, fmt.Sprintf("%d -%s", ev.Modified, key))
		} else {
			lines = append(lines, fmt.Sprintf("%d %s=%s", ev.Modified, key, ev.Value))
		}
	}
	return lines
}

// within checks that a call returned soon.
func (e *env) within(what string, d time.Duration, begun time.Time) {
	e.Helper()
	if took := time.Since(begun); took > d {
		e.Errorf("%s took %v, more than %v", what, took, d)
	}
}

// Tests: suite_test.go, mutant_test.go.
