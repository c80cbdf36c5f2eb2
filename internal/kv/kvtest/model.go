package kvtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// anyHistory does random transactions on the store and on a model, and compares what the
// store answers: at once, of each old revision, and by watches that begin at any revision
// and break off at any other.
func anyHistory(outer *env) {
	// A bubble does not allow all that rapid asks of a *testing.T.
	rapid.Check(struct{ testing.TB }{outer.t}, func(rt *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		e := &env{failer: rt, Instance: outer.Instance, store: outer.store, ctx: ctx}
		e.newPrefix()
		m := &model{e: e, begin: e.now(), leases: map[kv.LeaseID]bool{}}
		m.states = []state{{revision: m.begin, pairs: map[string]kv.Pair{}}}
		defer m.end()
		if rapid.Bool().Draw(rt, "leased") {
			m.grant()
		}
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				m.grant()
			case 1:
				m.revoke(rt)
			default:
				m.txn(rt)
			}
		}
		m.compare()
		m.replay(rt)
	})
}

// state is what the keys were from a revision on.
type state struct {
	revision int64
	pairs    map[string]kv.Pair
	events   []kv.Event // that led to it
}

// model is what the store should contain.
type model struct {
	e      *env
	begin  int64
	states []state
	leases map[kv.LeaseID]bool // false: it has ended
}

var modelKeys = []string{"a", "b", "c", "c/d", "e"}

func (m *model) now() state { return m.states[len(m.states)-1] }

// lease draws a lease, or none.
func (m *model) lease(rt *rapid.T) kv.LeaseID {
	return rapid.SampledFrom(append([]kv.LeaseID{0, 0}, slices.Sorted(maps.Keys(m.leases))...)).Draw(rt, "lease")
}

func (m *model) grant() {
	m.leases[m.e.grant(time.Minute).ID] = true
}

func (m *model) revoke(rt *rapid.T) {
	id := m.lease(rt)
	if id == 0 {
		return
	}
	m.e.check("revoke", m.e.store.Revoke(m.e.ctx, id))
	m.leases[id] = false
	var ops []kv.Op
	for _, key := range slices.Sorted(maps.Keys(m.now().pairs)) {
		if m.now().pairs[key].Lease == id {
			ops = append(ops, kv.Op{Key: key, Delete: true})
		}
	}
	m.apply(ops, m.now().revision+1)
}

// txn draws a transaction. Most conditions hold.
func (m *model) txn(rt *rapid.T) {
	var t kv.Txn
	holds, gone := true, false
	for range rapid.IntRange(0, 3).Draw(rt, "conditions") {
		c := kv.Compare{Key: m.e.prefix + rapid.SampledFrom(modelKeys).Draw(rt, "key"), Created: rapid.Bool().Draw(rt, "created")}
		c.Is = m.now().pairs[c.Key].Modified
		if c.Created {
			c.Is = m.now().pairs[c.Key].Created
		}
		if rapid.IntRange(0, 7).Draw(rt, "wrong") == 0 {
			other := rapid.SampledFrom(append(m.revisions(), 0)).Draw(rt, "revision")
			holds = holds && other == c.Is
			c.Is = other
		}
		t.If = append(t.If, c)
	}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(modelKeys), 0, 4, rapid.ID).Draw(rt, "keys") {
		op := kv.Op{Key: m.e.prefix + key, Delete: rapid.IntRange(0, 2).Draw(rt, "delete") == 0}
		if !op.Delete {
			op.Value = []byte(rapid.StringN(0, 3, -1).Draw(rt, "value"))
			op.Lease = m.lease(rt)
			gone = gone || op.Lease != 0 && !m.leases[op.Lease]
		}
		t.Then = append(t.Then, op)
	}
	r, err := m.e.store.Txn(m.e.ctx, t)
	if holds && gone {
		m.e.is("put with a lease that has ended", err, kv.ErrLeaseGone)
		return
	}
	m.e.check("transaction", err)
	if r.Done != holds {
		m.e.Fatalf("%+v: done is %v", t, r.Done)
	}
	if !holds {
		t.Then = nil
	}
	m.apply(t.Then, r.Header.Revision)
}

// apply does operations on the model, and compares the revision.
func (m *model) apply(ops []kv.Op, revision int64) {
	old := m.now()
	s := state{revision: old.revision + 1, pairs: maps.Clone(old.pairs)}
	for _, op := range ops {
		p := kv.Pair{Key: op.Key, Value: op.Value, Lease: op.Lease, Created: s.revision, Modified: s.revision}
		was, exists := old.pairs[op.Key]
		switch {
		case op.Delete && !exists:
			continue
		case op.Delete:
			delete(s.pairs, op.Key)
			s.events = append(s.events, kv.Event{Pair: kv.Pair{Key: op.Key, Modified: s.revision}, Deleted: true})
			continue
		case exists:
			p.Created = was.Created
		}
		s.pairs[op.Key] = p
		s.events = append(s.events, kv.Event{Pair: p})
	}
	if len(s.events) > 0 {
		m.states = append(m.states, s)
	}
	if len(ops) > 0 && revision != m.now().revision && len(s.events) > 0 {
		m.e.Fatalf("the transaction has revision %d, want %d", revision, m.now().revision)
	}
}

func (m *model) revisions() (all []int64) {
	for _, s := range m.states {
		all = append(all, s.revision)
	}
	return all
}

// compare reads every revision.
func (m *model) compare() {
	for i, s := range append(slices.Clone(m.states), m.now()) {
		at := s.revision
		if i == len(m.states) {
			at = 0
		}
		var got, want []string
		h, err := m.e.store.Range(m.e.ctx, m.e.prefix, at, func(p kv.Pair) error { got = append(got, whole(p)); return nil })
		m.e.check("range", err)
		for _, key := range slices.Sorted(maps.Keys(s.pairs)) {
			want = append(want, whole(s.pairs[key]))
		}
		m.e.want(fmt.Sprintf("range at revision %d", at), got, want...)
		if h.Revision != s.revision {
			m.e.Fatalf("range at revision %d: the header has %d, want %d", at, h.Revision, s.revision)
		}
	}
	for _, key := range modelKeys {
		want, exists := m.now().pairs[m.e.prefix+key]
		p := m.e.get(key)
		if exists != (p != nil) || exists && whole(*p) != whole(want) {
			m.e.Fatalf("get %s: %+v, want %+v", key, p, want)
		}
	}
}

func whole(p kv.Pair) string {
	return fmt.Sprintf("%s=%q created %d modified %d lease %x", p.Key, p.Value, p.Created, p.Modified, p.Lease)
}

// replay watches after any revision, and begins again between deliveries.
func (m *model) replay(rt *rapid.T) {
	from := rapid.IntRange(0, len(m.states)-1).Draw(rt, "watch after")
	f := m.e.follow(m.states[from].revision)
	defer func() { f.w.Close() }()
	for f.after < m.now().revision {
		if err := f.next(); err != nil {
			m.e.Fatalf("watch after revision %d: %v", f.after, err)
		}
		if rapid.Bool().Draw(rt, "again") {
			f.again()
		}
	}
	var got, want []string
	for _, ev := range f.log {
		got = append(got, fmt.Sprintf("%v %s", ev.Deleted, whole(ev.Pair)))
	}
	for _, s := range m.states[from+1:] {
		for _, ev := range s.events {
			want = append(want, fmt.Sprintf("%v %s", ev.Deleted, whole(ev.Pair)))
		}
	}
	m.e.want("watch", []string{strings.Join(got, "\n")}, strings.Join(want, "\n"))
}

// end gives the leases back.
func (m *model) end() {
	for id, lives := range m.leases {
		if lives {
			m.e.store.Revoke(context.Background(), id)
		}
	}
}

// Tests: suite_test.go, mutant_test.go.
