package registry

import (
	"context"
	"slices"
)

// Adopt takes over who is registered with from, and what from remembers of those who
// were, so that a store can be changed without anybody having to register again. from
// knows better than what was loaded from a store, and less than who registered here
// since. Every lease begins anew. What from is told meanwhile may be missed: those
// servers are asked to register when they renew. It returns how many it took over,
// also with an error.
//
// Errors: *LimitError (here fit fewer than there), ErrNoSpace, ErrClosed.
func (r *Registry) Adopt(ctx context.Context, from *Registry) (n int, err error) {
	const stride = 1024 // what a commit takes
	from.mu.RLock()
	all := make([]*Instance, 0, from.catalog.instances)
	for _, s := range from.catalog.services {
		for _, e := range s.entries {
			all = append(all, e.in)
		}
	}
	fences := make([]Fence, 0, len(from.fences.by))
	for _, f := range from.fences.order {
		if from.fences.by[f.Key] == f {
			fences = append(fences, f)
		}
	}
	from.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Instance) int { return a.Key.Compare(b.Key) })
	for part := range slices.Chunk(all, stride) {
		taken := 0
		err := r.submit(ctx, &op{decide: func(p *plan) error {
			taken = 0
			for _, in := range part {
				ok, err := p.adopt(in)
				if err != nil {
					return err
				}
				if ok {
					taken++
				}
			}
			return nil
		}})
		if err != nil {
			return n, err
		}
		n += taken
	}
	for part := range slices.Chunk(fences, stride) {
		err := r.submit(ctx, &op{decide: func(p *plan) error {
			for _, f := range part {
				if in, _ := p.find(f.Key); in == nil || in.Incarnation < f.Incarnation {
					p.remember(f.Key, max(f.Incarnation, p.floor(f.Key)), in == nil && f.Drained)
				}
			}
			return nil
		}})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// adopt plans to register what is registered elsewhere, unless somebody registered
// it here in this life.
func (p *plan) adopt(in *Instance) (ok bool, err error) {
	here, e := p.find(in.Key)
	if here != nil && (here.Revision > p.r.began || here.Incarnation > in.Incarnation) {
		return false, nil
	}
	if here == nil {
		if err := p.room(in.Service); err != nil {
			return false, err
		}
	}
	lease := renewLease
	state := in.State
	switch state {
	case Unconfirmed:
		state = Up
	case Suspect:
		lease = reprieveLease
	}
	p.put(here, in.with(state), e, lease)
	return true, nil
}

// room says why one more instance of a service does not fit.
func (p *plan) room(service string) error {
	if limit := p.r.settings().MaxInstances; p.total >= limit {
		return &LimitError{"instances", limit}
	}
	if limit := p.r.settings().MaxPerService; p.size(service) >= limit {
		return &LimitError{"instances of " + service, limit}
	}
	return nil
}
