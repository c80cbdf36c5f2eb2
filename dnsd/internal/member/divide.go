package member

import (
	"errors"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// part is as much of a batch as one transaction can hold. It leaves the store as complete
// as the whole batch does, at a lower revision.
type part struct {
	revision uint64 // after it
	changes  []registry.Change
	fences   []registry.Fence
	batch    batch // the same, for the head
	ops      []kv.Op
	bytes    int // of keys and values in ops, and of batch

	places map[string]int // of each key in ops
}

// overhead is more than etcd's protocol adds to each operation, and than JSON adds to each
// change in the head.
const overhead = 64

// spareBytes is more than the rest of the head and the conditions have.
const spareBytes = 4096

// errOneChange cannot happen with the limits of any store that there is.
var errOneChange = errors.New("one change does not fit into a transaction of the store")

// divide divides a batch into parts that fit into one transaction each. from is the
// revision before it. A part has the fence of each key whose last change of the batch is
// in it, and fences without a change are in the last part.
func (l layout) divide(b *registry.Batch, from uint64, limits kv.Limits) ([]*part, error) {
	last := make(map[registry.Key]int, len(b.Changes)) // change of each key
	for i := range b.Changes {
		last[b.Changes[i].Key()] = i
	}
	fences := make(map[registry.Key]registry.Fence, len(b.Fences))
	var alone []registry.Fence
	for _, f := range b.Fences {
		if _, ok := last[f.Key]; ok {
			fences[f.Key] = f
		} else {
			alone = append(alone, f)
		}
	}
	d := division{limits: limits}
	d.begin(from)
	for i := range b.Changes {
		c := &b.Changes[i]
		k := c.Key()
		f, fenced := fences[k]
		if last[k] != i {
			f = fenceOf(c)
			fenced = c.New == nil && !f.Empty()
		}
		if err := d.add(l.piece(c, f, fenced)); err != nil {
			return nil, err
		}
	}
	for _, f := range alone {
		if err := d.add(l.piece(nil, f, true)); err != nil {
			return nil, err
		}
	}
	d.now.revision = max(d.now.revision, b.Revision) // a revision may be used up without a change
	return d.parts, nil
}

// fenceOf is the fence that a removal leaves, if no fence of the key was there before.
func fenceOf(c *registry.Change) registry.Fence {
	f := registry.Fence{Key: c.Key(), Time: c.Time}
	if c.Old != nil {
		f.Incarnation, f.Drained = c.Old.Incarnation, c.Old.Sticky
	}
	return f
}

// piece is one change with its fence, or a fence alone.
type piece struct {
	change *registry.Change
	entry  change
	fence  *registry.Fence
	ops    []kv.Op
	bytes  int
}

func (l layout) piece(c *registry.Change, f registry.Fence, fenced bool) piece {
	p := piece{change: c, ops: make([]kv.Op, 0, 2)}
	if c != nil {
		p.entry.Time = c.Time.UTC()
		op := kv.Op{Key: l.instance(c.Key()), Delete: c.New == nil}
		if c.New != nil {
			op.Value = encode(registry.NewRecord(c.New))
			p.entry.Instance = op.Value
		} else {
			p.entry.Removed = c.Key().String()
		}
		p.ops = append(p.ops, op)
		p.bytes += overhead + len(op.Value) + len(p.entry.Removed)
	}
	if fenced {
		p.fence = &f
		op := kv.Op{Key: l.fence(f.Key), Delete: f.Empty()}
		op.Value = encode(newFence(f))
		p.bytes += overhead + len(op.Value)
		if op.Delete {
			op.Value = nil
		}
		p.ops = append(p.ops, op)
	}
	for _, op := range p.ops {
		p.bytes += overhead + len(op.Key) + len(op.Value)
	}
	return p
}

// division fills one part after the other.
type division struct {
	limits kv.Limits
	parts  []*part
	now    *part // the last of parts
}

func (d *division) begin(from uint64) {
	d.now = &part{revision: from, batch: batch{From: from}, places: make(map[string]int)}
	d.parts = append(d.parts, d.now)
}

// room says whether p fits into the part, with one more operation, which puts the head.
func (d *division) room(p piece) bool {
	more := 0
	for _, op := range p.ops {
		if _, again := d.now.places[op.Key]; !again {
			more++
		}
	}
	return len(d.now.ops)+more+1 <= d.limits.Ops && d.now.bytes+p.bytes+spareBytes <= d.limits.Bytes
}

func (d *division) add(p piece) error {
	if !d.room(p) {
		d.begin(d.now.revision)
		if !d.room(p) {
			return errOneChange
		}
	}
	n := d.now
	n.bytes += p.bytes
	if p.change != nil {
		n.revision = p.change.Revision
		n.changes = append(n.changes, *p.change)
		n.batch.Changes = append(n.batch.Changes, p.entry)
	}
	if p.fence != nil {
		n.fences = append(n.fences, *p.fence)
		n.batch.Fences = append(n.batch.Fences, newFence(*p.fence))
	}
	for _, op := range p.ops {
		if i, again := n.places[op.Key]; again {
			n.ops[i] = op // one transaction puts a key once
			continue
		}
		n.places[op.Key] = len(n.ops)
		n.ops = append(n.ops, op)
	}
	return nil
}
