package kvtest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func conditions(e *env) {
	r1 := e.do(e.put("k", "1"), e.put("dead", ""), e.put("other", ""))
	r2 := e.do(e.put("k", "2"), e.del("dead"))
	k, absent, dead, other := e.prefix+"k", e.prefix+"absent", e.prefix+"dead", e.prefix+"other"
	for _, c := range []struct {
		name string
		is   []kv.Compare
		done bool
	}{
		{"none", nil, true},
		{"created", []kv.Compare{{Key: k, Created: true, Is: r1}}, true},
		{"created at another revision", []kv.Compare{{Key: k, Created: true, Is: r2}}, false},
		{"created, which it is not", []kv.Compare{{Key: k, Created: true}}, false},
		{"modified", []kv.Compare{{Key: k, Is: r2}}, true},
		{"modified before", []kv.Compare{{Key: k, Is: r1}}, false},
		{"modified later", []kv.Compare{{Key: k, Is: r2 + 1}}, false},
		{"absent by created", []kv.Compare{{Key: absent, Created: true}}, true},
		{"absent by modified", []kv.Compare{{Key: absent}}, true},
		{"absent, which it is", []kv.Compare{{Key: absent, Created: true, Is: r1}}, false},
		{"deleted by created", []kv.Compare{{Key: dead, Created: true}}, true},
		{"deleted by modified", []kv.Compare{{Key: dead}}, true},
		{"deleted, with its last revision", []kv.Compare{{Key: dead, Is: r2}}, false},
		{"two of one key", []kv.Compare{{Key: k, Created: true, Is: r1}, {Key: k, Is: r2}}, true},
		{"all of several keys", []kv.Compare{{Key: k, Is: r2}, {Key: other, Is: r1}, {Key: absent}}, true},
		{"all but the last", []kv.Compare{{Key: k, Is: r2}, {Key: other, Is: r1}, {Key: dead, Is: r1}}, false},
		{"all but the first", []kv.Compare{{Key: k, Is: r1}, {Key: other, Is: r1}}, false},
	} {
		before := e.now()
		r, err := e.store.Txn(e.ctx, kv.Txn{If: c.is, Then: []kv.Op{e.put("done", c.name)}})
		e.check(c.name, err)
		if r.Done != c.done {
			e.Errorf("%s: done is %v", c.name, r.Done)
		}
		p := e.get("done")
		if wrote := p != nil && string(p.Value) == c.name; wrote != c.done {
			e.Errorf("%s: the operation was done: %v", c.name, wrote)
		}
		switch {
		case r.Done && (p == nil || p.Modified != r.Header.Revision || p.Modified <= before):
			e.Errorf("%s: done at revision %d, but the pair is %+v", c.name, r.Header.Revision, p)
		case !r.Done && r.Header.Revision != before:
			e.Errorf("%s: not done, the revision is %d, was %d", c.name, r.Header.Revision, before)
		}
	}
}

func wholeOrNot(e *env) {
	r1 := e.do(e.put("old", ""), e.put("k", "1"))
	f := e.follow(r1)
	r2 := e.do(e.put("z", "2"), e.del("old"), e.put("a", "2"), e.put("k", "2"))
	e.want("after it", e.list(0), "a=2", "k=2", "z=2")
	e.want("before it", e.list(r1), "k=1", "old=")
	f.until(r2)
	e.want("its events, in the order of its operations", e.lines(f.log),
		fmt.Sprintf("%d z=2", r2), fmt.Sprintf("%d -old", r2), fmt.Sprintf("%d a=2", r2), fmt.Sprintf("%d k=2", r2))
}

func noRevision(e *env) {
	before := e.do(e.put("k", ""))
	if r := e.do(); r != before {
		e.Errorf("a transaction without operations has revision %d after %d", r, before)
	}
	if r := e.do(e.del("absent"), e.del("absent2")); r != before {
		e.Errorf("a delete of nothing has revision %d after %d", r, before)
	}
	f := e.follow(before)
	r := e.do(e.del("absent"), e.del("k"))
	f.until(r)
	e.want("of two deletes, of which one changes something", e.lines(f.log), fmt.Sprintf("%d -k", r))
}

func compete(e *env) {
	const clients, each = 4, 15
	e.do(e.put("counter", "0"))
	type step struct{ revision, value int64 }
	steps := make(chan step, clients*each)
	var wg sync.WaitGroup
	for range clients {
		s := e.open()
		wg.Go(func() {
			for n := 0; n < each; {
				p, _, err := s.Get(e.ctx, e.prefix+"counter")
				if err != nil || p == nil {
					e.Errorf("get: %+v, %v", p, err)
					return
				}
				value, _ := strconv.ParseInt(string(p.Value), 10, 64)
				r, err := s.Txn(e.ctx, kv.Txn{
					If:   []kv.Compare{{Key: p.Key, Is: p.Modified}},
					Then: []kv.Op{e.put("counter", fmt.Sprint(value+1))},
				})
				if err != nil {
					e.Errorf("transaction: %v", err)
					return
				}
				if r.Done {
					steps <- step{r.Header.Revision, value + 1}
					n++
				}
			}
		})
	}
	wg.Wait()
	close(steps)
	seen := map[int64]int64{}
	for s := range steps {
		if _, twice := seen[s.revision]; twice {
			e.Errorf("revision %d was given to two transactions", s.revision)
		}
		seen[s.revision] = s.value
	}
	e.want("the counter", e.list(0), fmt.Sprintf("counter=%d", clients*each))
	for revision, value := range seen {
		e.want("the counter at a revision", e.list(revision), fmt.Sprintf("counter=%d", value))
	}
}

func limits(e *env) {
	l := e.store.Limits()
	if l.Ops < 16 || l.Bytes < 64<<10 {
		e.Fatalf("the limits are %+v, less than package member needs", l)
	}
	most := kv.Txn{}
	for i := range l.Ops {
		most.If = append(most.If, kv.Compare{Key: fmt.Sprintf("%s%d", e.prefix, i)})
		most.Then = append(most.Then, e.put(fmt.Sprint(i), ""))
	}
	// As many octets as may be, in as many operations as may be.
	left := l.Bytes - most.Size()
	for i := range most.Then {
		n := left / (len(most.Then) - i)
		most.Then[i].Value = []byte(strings.Repeat("v", n))
		left -= n
	}
	more := kv.Txn{If: most.If, Then: append([]kv.Op(nil), most.Then...)}
	more.Then[0].Value = append([]byte("v"), more.Then[0].Value...)
	one := e.put("one", "")
	one.Value = make([]byte, l.Bytes-len(one.Key))
	for _, c := range []struct {
		name     string
		txn      kv.Txn
		tooLarge bool
	}{
		{"an octet more than the limit", more, true},
		{"a condition more than the limit", kv.Txn{If: append(most.If[:l.Ops:l.Ops], kv.Compare{Key: e.prefix}), Then: []kv.Op{e.put("0", "")}}, true},
		{"an operation more than the limit", kv.Txn{If: most.If, Then: append(most.Then[:l.Ops:l.Ops], e.put("more", ""))}, true},
		{"as much as may be", most, false},
		{"one value that is as large as may be", kv.Txn{Then: []kv.Op{one}}, false},
	} {
		r, err := e.store.Txn(e.ctx, c.txn)
		if c.tooLarge {
			e.is(c.name, err, kv.ErrTooLarge)
			e.want(c.name, e.list(0))
			continue
		}
		e.check(c.name, err)
		if !r.Done {
			e.Errorf("%s: it was not done", c.name)
		}
	}
}

func refused(e *env) {
	for name, txn := range map[string]kv.Txn{
		"a key is put twice":       {Then: []kv.Op{e.put("k", "1"), e.put("k", "2")}},
		"a key is deleted and put": {Then: []kv.Op{e.del("k"), e.put("k", "2")}},
		"a key is deleted twice":   {Then: []kv.Op{e.del("k"), e.del("k")}},
		"a key is empty":           {Then: []kv.Op{e.put("k", "1"), {}}},
		"no key in a condition":    {If: []kv.Compare{{}}, Then: []kv.Op{e.put("k", "1")}},
	} {
		if r, err := e.store.Txn(e.ctx, txn); err == nil {
			e.Errorf("%s: there is no error, done is %v", name, r.Done)
		}
	}
	e.want("nothing was done", e.list(0))
}

// Tests: suite_test.go, mutant_test.go.
