package member

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// TestEachPartIsAWholeCommit: whatever a batch has in it, each of its parts fits into a
// transaction, and the parts, one after the other, do to the store what the batch does to
// a registry. After each part, the keys and the fences are as if it had been the end.
func TestEachPartIsAWholeCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := kv.Limits{Ops: rapid.IntRange(3, 20).Draw(t, "ops"), Bytes: rapid.IntRange(6000, 20_000).Draw(t, "bytes")}
		var b registry.Batch
		b.Revision = 100
		now := map[registry.Key]*registry.Instance{}
		fences := map[registry.Key]registry.Fence{}
		var marked []registry.Key
		for range rapid.IntRange(0, 60).Draw(t, "changes") {
			in := instance(fmt.Sprint("a", rapid.IntRange(0, 9).Draw(t, "id")), 0)
			in.Incarnation = uint64(rapid.IntRange(0, 3).Draw(t, "incarnation"))
			c := registry.Change{Revision: b.Revision + 1, Time: someTime, Old: now[in.Key]}
			floor := fences[in.Key].Incarnation // as the registry plans fences
			if c.Old == nil || rapid.Bool().Draw(t, "puts") {
				in.Revision = c.Revision
				if in.Incarnation < floor {
					in.Incarnation = 0
				}
				if in.Incarnation > 0 {
					floor = 0
				}
				c.New = in
				now[in.Key] = in
			} else {
				delete(now, in.Key)
				floor = max(floor, c.Old.Incarnation)
			}
			if floor != fences[in.Key].Incarnation {
				fences[in.Key] = registry.Fence{Key: in.Key, Incarnation: floor, Time: someTime}
				marked = append(marked, in.Key)
			}
			b.Revision++
			b.Changes = append(b.Changes, c)
		}
		for range rapid.IntRange(0, 20).Draw(t, "other fences") {
			k := registry.Key{Service: "_other._tcp", ID: fmt.Sprint("f", len(marked))}
			fences[k] = registry.Fence{Key: k, Incarnation: 3, Time: someTime}
			marked = append(marked, k)
		}
		done := map[registry.Key]bool{}
		for _, k := range marked {
			if !done[k] {
				b.Fences = append(b.Fences, fences[k])
				done[k] = true
			}
		}

		parts, err := under.divide(&b, 100, limits)
		if err != nil {
			t.Fatal(err)
		}
		store := map[string]string{}
		revision := uint64(100)
		rest := b.Changes
		for _, p := range parts {
			value := encode(&head{Format: format, Life: 1, Revision: p.revision, Batch: &p.batch})
			txn := kv.Txn{
				If:   []kv.Compare{{Key: under.member("1122334455667788")}, {Key: under.head()}, {Key: under.spare(999)}},
				Then: append(p.ops, kv.Op{Key: under.head(), Value: value}),
			}
			if err := txn.Check(limits); err != nil {
				t.Fatal(err)
			}
			if p.batch.From != revision {
				t.Fatalf("a part from %d, after %d", p.batch.From, revision)
			}
			if _, err := parseHead(value); err != nil {
				t.Fatal(err)
			}
			revision = p.revision
			for _, op := range p.ops {
				if op.Delete {
					delete(store, op.Key)
				} else {
					store[op.Key] = string(op.Value)
				}
			}
			last := map[registry.Key]uint64{} // what came before it in this part may have had another fence
			for _, c := range p.changes {
				last[c.Key()] = c.Revision
			}
			for _, c := range p.changes {
				if c.Revision != rest[0].Revision {
					t.Fatalf("change %d, want %d", c.Revision, rest[0].Revision)
				}
				if c.New == nil && c.Old.Incarnation > 0 && c.Revision == last[c.Key()] && store[under.fence(c.Key())] == "" && store[under.instance(c.Key())] == "" {
					t.Fatalf("%s is removed without a fence", c.Key())
				}
				rest = rest[1:]
			}
		}
		if revision != b.Revision || len(rest) > 0 {
			t.Fatalf("at %d, want %d; %d changes are left", revision, b.Revision, len(rest))
		}
		want := map[string]string{}
		for k, in := range now {
			want[under.instance(k)] = string(encode(registry.NewRecord(in)))
		}
		for k, f := range fences {
			if !f.Empty() {
				want[under.fence(k)] = string(encode(newFence(f)))
			}
		}
		if fmt.Sprint(want) != fmt.Sprint(store) {
			t.Fatalf("the store has\n%v, want\n%v", store, want)
		}
	})
}

// TestChangeThatFitsNowhere: no store has such limits.
func TestChangeThatFitsNowhere(t *testing.T) {
	if _, err := under.divide(puts(1, "a1"), 1, kv.Limits{Ops: 1, Bytes: 1 << 20}); !errors.Is(err, errOneChange) {
		t.Errorf("one operation: %v", err)
	}
	if _, err := under.divide(puts(1, "a1"), 1, kv.Limits{Ops: 128, Bytes: 100}); !errors.Is(err, errOneChange) {
		t.Errorf("few octets: %v", err)
	}
}
