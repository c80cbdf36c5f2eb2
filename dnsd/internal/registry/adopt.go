package registry

import (
	"context"
	"slices"
)

// Adopt copies the instances and fences of from into r, so that a block can change its
// store and no server has to register again. An instance of from replaces one that r
// loaded from its store, but not one that registered with r since. Every lease begins
// again. Adopt may miss a change that is made in from while it runs: such a server is
// told to register when it renews. It returns the number of instances that it copied,
// also with an error.
//
// Errors: *LimitError (r has lower limits than from), ErrNoSpace, ErrClosed.
func (r *Registry) Adopt(ctx context.Context, from *Registry) (n int, err error) {
	const stride = 1024 // instances in one commit: other requests get their turn in between
	from.mu.RLock()
	all := make([]*Instance, 0, from.catalog.instances)
	for _, s := range from.catalog.services {
		for _, e := range s.entries {
			all = append(all, e.in)
		}
	}
	fences := from.fences.all()
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

// adopt plans to register in, an instance of another registry, unless its key was
// registered here in this life.
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
	if state == Suspect {
		lease = reprieveLease
	}
	p.put(here, in.with(state), e, lease)
	p.because(Restored)
	return true, nil
}

// room returns a *LimitError if one more instance of a service does not fit.
func (p *plan) room(service string) error {
	if limit := p.r.settings().Limits.Instances; p.total >= limit {
		return &LimitError{"instances", limit}
	}
	if limit := p.r.settings().Limits.PerService; p.size(service) >= limit {
		return &LimitError{"instances of " + service, limit}
	}
	return nil
}
