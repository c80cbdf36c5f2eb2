package member

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// onlyRemove says whether parts only remove instances.
func onlyRemove(parts []*part) bool {
	for _, p := range parts {
		if slices.ContainsFunc(p.changes, func(c registry.Change) bool { return c.New != nil }) || len(p.changes) == 0 {
			return false
		}
	}
	return true
}

// removeLocked removes the instances of parts without space: etcd's quota does not count
// deletes. Each removal deletes a spare key, which uses up its revision. The fences are
// owed. With an error, stored says whether some were removed before.
func (j *journal) removeLocked(parts []*part) (stored bool, err error) {
	var all []registry.Change
	fences := make(map[registry.Key]registry.Fence)
	for _, p := range parts {
		all = append(all, p.changes...)
		for _, f := range p.fences {
			fences[f.Key] = f
		}
	}
	if len(all) > len(j.pos.spares) {
		return false, fmt.Errorf("%w: and %d spare keys are left for removals, which need %d", registry.ErrNoSpace, len(j.pos.spares), len(all))
	}
	for some := range slices.Chunk(all, max(1, j.store.Limits().Ops/2)) {
		if err := j.deleteLocked(some); err != nil {
			return stored, err
		}
		stored = true
	}
	maps.Copy(j.owed, fences)
	return true, nil
}

// deleteLocked is one transaction of removals without space.
func (j *journal) deleteLocked(some []registry.Change) error {
	t := kv.Txn{If: j.conditions()}
	for i := range some {
		t.Then = append(t.Then, kv.Op{Key: j.keys.instance(some[i].Key()), Delete: true})
	}
	kept := len(j.pos.spares) - len(some)
	for _, s := range slices.Backward(j.pos.spares[kept:]) {
		t.Then = append(t.Then, kv.Op{Key: j.keys.spare(s.number), Delete: true})
	}
	top := j.keys.spare(j.pos.spares[len(j.pos.spares)-1].number)
	at, err := j.sendLocked(t, func(ctx context.Context) (int64, bool, error) {
		// The key of the seat is read last: while it is there, no other can have deleted the
		// spare key.
		spare, header, err := j.store.Get(ctx, top)
		if err != nil || spare != nil {
			return 0, false, err
		}
		own, _, err := j.store.Get(ctx, j.keys.member(j.seat.session))
		return header.Revision, err == nil && own != nil && own.Created == j.seat.created, err
	})
	if err != nil {
		return err
	}
	j.full = true
	j.pos.revision += uint64(len(some))
	j.pos.spares = j.pos.spares[:kept]
	j.pos.at = at
	if len(j.bare) > 4*mostSpares { // the watch delivers nothing: what it delivers later ends the term
		clear(j.bare)
	}
	j.bare[at] = struct{}{}
	return nil
}

// defuseLocked ends the term after a transaction whose outcome is unknown, in a store that
// is full by now. An earlier copy may be done when there is space again, as long as its
// conditions hold. The key of the seat must not go: a full store gives no other. So the
// highest spare key is deleted, which is a condition, too. That uses up a revision.
func (j *journal) defuseLocked(under, noSpace error) error {
	n := len(j.pos.spares)
	if n == 0 {
		return j.unresolvedLocked(under, noSpace)
	}
	t := kv.Txn{If: j.conditions(), Then: []kv.Op{{Key: j.keys.spare(j.pos.spares[n-1].number), Delete: true}}}
	for pause := retry; j.activeLocked(); pause = min(2*pause, longestRetry) {
		ctx, cancel := context.WithTimeout(j.ctx, attempt)
		_, err := j.store.Txn(ctx, t)
		cancel()
		if err == nil { // the conditions do not hold any more, whether this was done or an earlier copy
			j.endLocked(fmt.Errorf("the store is full, and before that an outcome was unknown: %w", under), false)
			return fmt.Errorf("%w: %v", registry.ErrUncertain, under)
		}
		j.waitLocked(pause)
	}
	return j.unresolvedLocked(under, noSpace)
}

// strange says whether one of some revisions in the store is not of a removal without space
// by this journal. ok is false if that is not known yet: a transaction is under way.
func (j *journal) strange(revisions []int64) (strange, ok bool) {
	if !j.mu.TryLock() {
		return false, false
	}
	defer j.mu.Unlock()
	for _, r := range revisions {
		if _, own := j.bare[r]; !own {
			strange = true
		}
		delete(j.bare, r)
	}
	return strange, true
}

// refill puts spare keys and owed fences, as many as one transaction takes, if any are
// missing. more says that some are still missing.
func (j *journal) refill() (more bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pos.spares) == mostSpares && len(j.owed) == 0 {
		return false, nil
	}
	room := j.store.Limits().Ops - 1
	b := batch{From: j.pos.revision}
	var ops []kv.Op
	var written []registry.Key
	for _, k := range slices.SortedFunc(maps.Keys(j.owed), registry.Key.Compare) {
		if len(ops) == room {
			break
		}
		f := j.owed[k]
		ops = append(ops, j.keys.fenceOp(f))
		b.Fences = append(b.Fences, newFence(f))
		written = append(written, k)
	}
	there := j.pos.spares
	var missing []int
	for i := 0; i < mostSpares && len(ops) < room; i++ {
		if len(there) > 0 && there[0].number == i {
			there = there[1:]
			continue
		}
		missing = append(missing, i)
		ops = append(ops, kv.Op{Key: j.keys.spare(i), Value: []byte("{}")})
	}
	h := j.headLocked(j.pos.revision, len(j.pos.spares)+len(missing), &b)
	if err := j.putLocked(ops, h); err != nil {
		return true, err
	}
	for _, k := range written {
		delete(j.owed, k)
	}
	for _, i := range missing {
		j.pos.spares = append(j.pos.spares, spare{i, j.pos.head})
	}
	slices.SortFunc(j.pos.spares, func(a, b spare) int { return a.number - b.number })
	return len(j.pos.spares) < mostSpares || len(j.owed) > 0, nil
}

// fenceOp puts or deletes a fence.
func (l layout) fenceOp(f registry.Fence) kv.Op {
	if f.Empty() {
		return kv.Op{Key: l.fence(f.Key), Delete: true}
	}
	return kv.Op{Key: l.fence(f.Key), Value: encode(newFence(f))}
}

// touch puts the head as it is. A member that has just joined sees by it that the writer
// of the life that it has loaded is alive.
func (j *journal) touch() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.putLocked(nil, j.headLocked(j.pos.revision, len(j.pos.spares), nil))
}

// begin puts a head of a new life at a revision, with nothing changed.
func (j *journal) begin(l registry.Life, revision uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	was := j.pos
	j.pos.life, j.pos.revision = l, revision
	err := j.putLocked(nil, j.headLocked(revision, len(j.pos.spares), nil))
	if err != nil {
		j.pos.life, j.pos.revision = was.life, was.revision
	}
	return err
}
