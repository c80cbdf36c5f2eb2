package memkv

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// data is what the store contains: every change that is not compacted. It has no clock
// and no lock. Values in it are never changed, so they may be shared.
type data struct {
	cluster   uint64
	revision  int64                 // of the newest change
	compacted int64                 // nothing older can be read
	keys      map[string][]kv.Event // what was put and deleted of each key, oldest first
	sorted    []string              // the keys in order, also some that are gone
	added     []string              // keys that are not in sorted yet
	oldest    *change               // its next is the oldest that a watch can get
	newest    *change
	leases    map[kv.LeaseID]*lease
	size      int64 // octets, by costOf
	full      bool  // the alarm of a full store is raised
}

// change is all that changed at one revision. Watches hold changes that the data has
// forgotten.
type change struct {
	revision int64
	at       time.Time
	events   []kv.Event
	next     *change // the next revision
}

type lease struct {
	ttl  time.Duration
	ends time.Time
	keys map[string]struct{}
}

const (
	costOfPut   = 256 // octets that etcd counts for a put beside key and value (costPut in its quota)
	costOfLease = 64  // likewise for a lease
	fewKeys     = 32  // that are put in their places one by one; more of them are sorted with all
)

// newData is an empty store. As etcd, it begins at revision 1.
func newData(cluster uint64) *data {
	first := &change{revision: 1}
	return &data{
		cluster: cluster, revision: 1, keys: map[string][]kv.Event{},
		oldest: first, newest: first, leases: map[kv.LeaseID]*lease{},
	}
}

func (d *data) header() kv.Header { return kv.Header{Cluster: d.cluster, Revision: d.revision} }

// at returns the pair of a key as it was at a revision, or false.
func (d *data) at(key string, revision int64) (kv.Pair, bool) {
	versions := d.keys[key]
	i := len(versions) - 1
	for i >= 0 && versions[i].Modified > revision {
		i--
	}
	if i < 0 || versions[i].Deleted {
		return kv.Pair{}, false
	}
	return versions[i].Pair, true
}

// readable says whether the keys can be read as they were at a revision.
func (d *data) readable(revision int64) bool {
	return revision >= d.compacted && revision <= d.revision
}

// inOrder returns the pairs with a prefix, as they were at a revision.
func (d *data) inOrder(prefix string, revision int64) (pairs []kv.Pair) {
	d.sort()
	from, _ := slices.BinarySearch(d.sorted, prefix)
	for _, key := range d.sorted[from:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if p, ok := d.at(key, revision); ok {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

func (d *data) sort() {
	if len(d.added) > fewKeys {
		d.sorted = append(d.sorted, d.added...)
		slices.Sort(d.sorted)
		d.sorted = slices.Compact(d.sorted)
		d.added = nil
	}
	for _, key := range d.added {
		if i, found := slices.BinarySearch(d.sorted, key); !found {
			d.sorted = slices.Insert(d.sorted, i, key)
		}
	}
	d.added = nil
}

// holds says whether all conditions hold.
func (d *data) holds(conditions []kv.Compare) bool {
	for _, c := range conditions {
		p, _ := d.at(c.Key, d.revision)
		is := p.Modified // 0 if there is no such key
		if c.Created {
			is = p.Created
		}
		if is != c.Is {
			return false
		}
	}
	return true
}

// lacksLease says whether an operation names a lease that is not there.
func (d *data) lacksLease(op kv.Op) bool {
	return !op.Delete && op.Lease != 0 && d.leases[op.Lease] == nil
}

// costOf is what operations add to the size of the store. A delete costs nothing, as in
// etcd: otherwise a full store could not be emptied.
func costOf(ops []kv.Op) (n int64) {
	for _, op := range ops {
		if !op.Delete {
			n += costOfPut + int64(len(op.Key)+len(op.Value))
		}
	}
	return n
}

// apply does operations at the next revision. If they change nothing, because they delete
// keys that are not there, there is no new revision.
func (d *data) apply(ops []kv.Op, now time.Time) {
	c := &change{revision: d.revision + 1, at: now}
	for _, op := range ops {
		old, exists := d.at(op.Key, d.revision)
		if op.Delete && !exists {
			continue
		}
		e := kv.Event{Pair: kv.Pair{Key: op.Key, Modified: c.revision}, Deleted: op.Delete}
		if !op.Delete {
			e.Value, e.Lease, e.Created = slices.Clone(op.Value), op.Lease, c.revision
			if exists {
				e.Created = old.Created
			}
		}
		if l := d.leases[old.Lease]; l != nil {
			delete(l.keys, op.Key)
		}
		if l := d.leases[e.Lease]; l != nil {
			l.keys[op.Key] = struct{}{}
		}
		if len(d.keys[op.Key]) == 0 {
			d.added = append(d.added, op.Key)
		}
		d.keys[op.Key] = append(d.keys[op.Key], e)
		c.events = append(c.events, e)
	}
	d.size += costOf(ops)
	if len(c.events) > 0 {
		d.revision, d.newest.next, d.newest = c.revision, c, c
	}
}

// revoke ends a lease, and deletes its keys at one revision.
func (d *data) revoke(id kv.LeaseID, now time.Time) {
	l := d.leases[id]
	if l == nil {
		return
	}
	var ops []kv.Op
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		ops = append(ops, kv.Op{Key: key, Delete: true})
	}
	d.apply(ops, now)
	delete(d.leases, id)
	d.size -= costOfLease
}

// compact forgets what is not read at a revision or later.
func (d *data) compact(revision int64) {
	for d.oldest.next != nil && d.oldest.next.revision <= revision {
		d.oldest = d.oldest.next
		for _, e := range d.oldest.events {
			d.trim(e.Key, revision)
		}
	}
	d.compacted = max(d.compacted, revision)
	if len(d.sorted) > fewKeys+2*len(d.keys) {
		d.sorted = slices.DeleteFunc(d.sorted, func(key string) bool { return d.keys[key] == nil })
	}
}

// trim forgets the versions of a key that were replaced up to a revision.
func (d *data) trim(key string, revision int64) {
	versions := d.keys[key]
	last := -1 // of those up to the revision
	for last+1 < len(versions) && versions[last+1].Modified <= revision {
		last++
	}
	if last < 0 {
		return
	}
	if !versions[last].Deleted {
		last-- // it is still read
	}
	for _, v := range versions[:last+1] {
		if !v.Deleted {
			d.size -= costOfPut + int64(len(v.Key)+len(v.Value))
		}
	}
	clear(versions[:last+1])
	if versions = versions[last+1:]; len(versions) == 0 {
		delete(d.keys, key)
		return
	}
	d.keys[key] = versions
}

// clone copies everything that changes.
func (d *data) clone() *data {
	n := *d
	n.keys = make(map[string][]kv.Event, len(d.keys))
	for key, versions := range d.keys {
		n.keys[key] = slices.Clone(versions)
	}
	n.sorted, n.added = slices.Clone(d.sorted), slices.Clone(d.added)
	n.leases = make(map[kv.LeaseID]*lease, len(d.leases))
	for id, l := range d.leases {
		n.leases[id] = &lease{ttl: l.ttl, ends: l.ends, keys: maps.Clone(l.keys)}
	}
	n.oldest = &change{revision: d.oldest.revision}
	n.newest = n.oldest
	for c := d.oldest.next; c != nil; c = c.next {
		n.newest.next = &change{revision: c.revision, at: c.at, events: c.events}
		n.newest = n.newest.next
	}
	return &n
}

// Tests: memkv_test.go.
