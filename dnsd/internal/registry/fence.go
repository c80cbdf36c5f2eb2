package registry

import (
	"context"
	"math"
	"slices"
	"time"
)

// fencePage is how many remembered removals are looked at while the registry is locked: a
// few microseconds, in which no lease is renewed.
const fencePage = 256

// fences remembers removed instances. It forgets the oldest first. Its fields are guarded
// by Registry.mu.
type fences struct {
	by    map[Key]Fence
	of    map[string]int // how many by has of each service
	order []numbered     // oldest first; an element that differs from by[Key] is obsolete
	last  uint64         // the number of the newest element
	max   int
	age   time.Duration
}

// numbered is a fence and its number in the order, which ascends and has gaps.
type numbered struct {
	Fence
	number uint64
}

// apply sets the fence of a key. An empty one removes it.
func (f *fences) apply(c Fence) {
	_, known := f.by[c.Key]
	if c.Empty() {
		delete(f.by, c.Key)
		if known {
			f.count(c.Service, -1)
		}
		return
	}
	if f.by == nil {
		f.by, f.of = make(map[Key]Fence), make(map[string]int)
	}
	f.by[c.Key] = c
	if !known {
		f.count(c.Service, 1)
	}
	f.last++
	f.order = append(f.order, numbered{c, f.last})
}

// count adds n to the number of fences of a service.
func (f *fences) count(service string, n int) {
	if f.of[service] += n; f.of[service] == 0 {
		delete(f.of, service)
	}
}

// size is how many fences a service ("": all) has.
func (f *fences) size(service string) int {
	if service == "" {
		return len(f.by)
	}
	return f.of[service]
}

// page appends to all what is remembered of a service ("": all), of the next elements that
// are numbered above after and not above upTo. It returns the number of the last element it
// looked at. more: others follow.
func (f *fences) page(all []Fence, service string, after, upTo uint64) (next []Fence, last uint64, more bool) {
	i, _ := slices.BinarySearchFunc(f.order, after, func(o numbered, n uint64) int {
		if o.number <= n {
			return -1
		}
		return 1
	})
	looked := 0
	for ; i < len(f.order) && f.order[i].number <= upTo; i++ {
		if looked == fencePage {
			return all, after, true
		}
		looked++
		o := &f.order[i]
		if after = o.number; (service == "" || o.Service == service) && f.by[o.Key] == o.Fence {
			all = append(all, o.Fence)
		}
	}
	return all, after, false
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
			if f.by[o.Key] != o.Fence || o.Drained != drained {
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
		if f.by[o.Key] == o.Fence {
			all = append(all, o.Fence)
		}
	}
	return all
}

// tidy removes obsolete elements from order.
func (f *fences) tidy() {
	n := 0
	for n < len(f.order) && f.by[f.order[n].Key] != f.order[n].Fence {
		n++
	}
	f.order = f.order[n:]
	if len(f.order) > 2*len(f.by)+64 { // most are obsolete, and not at the beginning
		order := make([]numbered, 0, len(f.by))
		for _, o := range f.order {
			if f.by[o.Key] == o.Fence {
				order = append(order, o)
			}
		}
		f.order = order
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

// FencesOf is how many keys of a service ("": of all) are remembered that are not
// registered.
func (r *Registry) FencesOf(service string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.fences.size(service)
}

// Fences returns what is remembered of keys of a service ("": of all) that are not
// registered, the oldest first, and the revision when it began to read. It locks the
// registry for one page after the other, so what changes meanwhile may be in it or not. A
// key is in it once.
func (r *Registry) Fences(service string) (revision uint64, all []Fence) {
	r.mu.RLock()
	revision = r.revision
	size, began := r.fences.size(service), r.fences.last
	r.mu.RUnlock()
	if size == 0 {
		return revision, nil
	}
	all = r.fencePages(make([]Fence, 0, size), service, 0, began)
	if late := r.fencePages(nil, service, began, math.MaxUint64); len(late) > 0 {
		all = lastOfEach(append(all, late...))
	}
	return revision, all
}

// fencePages appends to all what is remembered of a service, one page after the other.
func (r *Registry) fencePages(all []Fence, service string, after, upTo uint64) []Fence {
	for more := true; more; {
		r.mu.RLock()
		all, after, more = r.fences.page(all, service, after, upTo)
		r.mu.RUnlock()
	}
	return all
}

// lastOfEach leaves the last fence of each key.
func lastOfEach(all []Fence) []Fence {
	last := make(map[Key]int, len(all))
	for i, f := range all {
		last[f.Key] = i
	}
	n := 0
	for i, f := range all {
		if last[f.Key] == i {
			all[n] = f
			n++
		}
	}
	return all[:n]
}

// Tests: fence_test.go, fencepage_test.go.
