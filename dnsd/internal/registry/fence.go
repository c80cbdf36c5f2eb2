package registry

import (
	"context"
	"time"
)

// fences remembers removed instances. It forgets the oldest first. Its fields are guarded
// by Registry.mu.
type fences struct {
	by    map[Key]Fence
	order []Fence // oldest first; an element that differs from by[Key] is obsolete
	max   int
	age   time.Duration
}

// apply sets the fence of a key. An empty one removes it.
func (f *fences) apply(c Fence) {
	if c.Empty() {
		delete(f.by, c.Key)
		return
	}
	if f.by == nil {
		f.by = make(map[Key]Fence)
	}
	f.by[c.Key] = c
	f.order = append(f.order, c)
}

// excess returns empty fences for the keys that must be forgotten when more are added, at
// most limit. A sticky drain does not age, and is forgotten last.
func (f *fences) excess(more int, now time.Time, limit int) (forget []Fence) {
	over := len(f.by) + more - f.max
	for _, drained := range [...]bool{false, true} {
		for _, o := range f.order {
			if len(forget) == limit {
				return forget
			}
			if f.by[o.Key] != o || o.Drained != drained {
				continue
			}
			if over <= len(forget) && (drained || now.Sub(o.Time) < f.age) {
				break
			}
			forget = append(forget, Fence{Key: o.Key})
		}
		if over <= len(forget) {
			break
		}
	}
	return forget
}

// all returns what is remembered, oldest first.
func (f *fences) all() []Fence {
	all := make([]Fence, 0, len(f.by))
	for _, o := range f.order {
		if f.by[o.Key] == o {
			all = append(all, o)
		}
	}
	return all
}

// tidy removes obsolete elements from order.
func (f *fences) tidy() {
	n := 0
	for n < len(f.order) && f.by[f.order[n].Key] != f.order[n] {
		n++
	}
	f.order = f.order[n:]
	if len(f.order) > 2*len(f.by)+64 { // most are obsolete, and not at the beginning
		f.order = f.all()
	}
}

// Unfence forgets which incarnation was registered last under key, so that an older one
// is not refused any more. It is for operators, after the clock of a host was ahead. It
// does not change a registered instance.
//
// Errors: ErrNotFound (no incarnation is remembered), ErrNoSpace, ErrClosed.
func (r *Registry) Unfence(ctx context.Context, key Key) (Receipt, error) {
	return r.unfence(ctx, key, nil)
}

func (r *Registry) unfence(ctx context.Context, key Key, since *uint64) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		f := p.fence(key)
		switch {
		case f.Incarnation == 0:
			return ErrNotFound
		case p.overtaken(key, since):
			return ErrOvertaken // another process may have had the key since
		}
		p.remember(key, 0, f.Drained)
		done = Receipt{Did: Forgotten, Revision: p.revision}
		return nil
	}})
	if err != nil {
		return Receipt{}, err
	}
	return done, nil
}

// Fence returns what is remembered of a key that is not registered. It is empty if that
// is nothing.
func (r *Registry) Fence(key Key) Fence {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.fences.by[key]
}

// Fences returns all that is remembered of keys that are not registered, the oldest first,
// and the revision at which it was so.
func (r *Registry) Fences() (revision uint64, all []Fence) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.revision, r.fences.all()
}
