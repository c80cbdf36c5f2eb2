package member

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// under is the prefix of the tests.
var under = layout{"/rollcall/svc"}

// someTime is that of values in the tests.
var someTime = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// instance is one at a revision.
func instance(id string, revision uint64) *registry.Instance {
	return &registry.Instance{
		Key: registry.Key{Service: "_math._tcp", ID: id}, Host: "10.0.0.7", Port: 9001, Priority: 10, Weight: 100,
		TTL: 5 * time.Second, Lease: 15 * time.Second, Incarnation: 7, Revision: revision,
	}
}

// puts is a batch that registers an instance with each id, after a revision.
func puts(from uint64, ids ...string) *registry.Batch {
	b := &registry.Batch{Revision: from + uint64(len(ids))}
	for i, id := range ids {
		revision := from + uint64(i) + 1
		b.Changes = append(b.Changes, registry.Change{Revision: revision, Time: someTime, New: instance(id, revision)})
	}
	return b
}

// removals is a batch that removes the instance of each id, and remembers it.
func removals(from uint64, ids ...string) *registry.Batch {
	b := &registry.Batch{Revision: from + uint64(len(ids))}
	for i, id := range ids {
		old := instance(id, 1)
		b.Changes = append(b.Changes, registry.Change{Revision: from + uint64(i) + 1, Time: someTime, Old: old})
		b.Fences = append(b.Fences, registry.Fence{Key: old.Key, Incarnation: old.Incarnation, Time: someTime})
	}
	return b
}

// ids is n ids.
func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("a%04d", i)
	}
	return all
}

// sit puts a key of a member and returns its seat.
func sit(t testing.TB, store kv.Store, session string) seat {
	t.Helper()
	r, err := store.Txn(context.Background(), kv.Txn{Then: []kv.Op{{Key: under.member(session), Value: []byte(`{"name":"` + session + `"}`), Lease: leaseOf(t, store)}}})
	if err != nil || !r.Done {
		t.Fatal(r, err)
	}
	return seat{session: session, created: r.Header.Revision, valid: func() bool { return true }, ttl: 5 * time.Second}
}

// lives begins a term on an empty prefix, at revision 1.
func lives(t testing.TB, store kv.Store) *journal {
	t.Helper()
	j := newJournal(context.Background(), store, under, sit(t, store, "a"), "a", position{}, nil, slog.New(slog.DiscardHandler))
	if err := j.begin(0x9f86d081884c7d65, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.end() })
	return j
}

// whole loads everything, which must work.
func whole(t testing.TB, c *memkv.Cluster) *loaded {
	t.Helper()
	l, err := load(context.Background(), c.Open("reader"), under)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// registered is the ids of l, in order.
func (l *loaded) registered() string {
	var all []string
	for _, in := range l.instances {
		all = append(all, in.ID)
	}
	return strings.Join(all, " ")
}

// leaseOf is a lease for the key of a member.
func leaseOf(t testing.TB, store kv.Store) kv.LeaseID {
	t.Helper()
	lease, err := store.Grant(context.Background(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return lease.ID
}
