package registry

import (
	"context"
	"slices"
)

// Attach loads s and then keeps it informed, until detach.
func (r *Registry) Attach(s Sink) (detach func()) { return r.attach(s, false) }

// AttachRenewed is Attach for a sink that publishes something else than another did
// at the present revision, as a zone does that has other name servers: it is loaded
// at the next one, which is not given to anybody else. The history begins there,
// so that nobody gets a difference to what was before.
func (r *Registry) AttachRenewed(s Sink) (detach func()) { return r.attach(s, true) }

func (r *Registry) attach(s Sink, renewed bool) (detach func()) {
	attached := &op{after: func() {
		// The leader's turn: nobody but renewals changes anything meanwhile.
		if renewed {
			r.skip()
		}
		r.mu.RLock()
		names := r.namesLocked()
		r.mu.RUnlock()
		slices.Sort(names)
		r.mu.RLock()
		all := make([]*Instance, 0, r.catalog.instances)
		for _, name := range names {
			for _, e := range r.catalog.services[name].entries {
				all = append(all, e.in)
			}
		}
		changes := make([]Change, len(r.history.events))
		for i, e := range r.history.events {
			changes[i] = e.Change
		}
		revision := r.revision
		r.mu.RUnlock()
		s.Load(revision, slices.Values(all), changes)
		r.sinks = append(r.sinks, s)
	}}
	r.submit(context.Background(), attached) // only ErrClosed: then there is nothing to be told
	return func() {
		r.submit(context.Background(), &op{after: func() {
			if i := slices.Index(r.sinks, s); i >= 0 {
				r.sinks = slices.Delete(r.sinks, i, i+1)
			}
		}})
	}
}

// skip passes a revision without a change.
func (r *Registry) skip() {
	r.mu.RLock()
	next := r.revision + 1
	r.mu.RUnlock()
	r.ceiling.cover(next)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision, r.history.events = next, nil
}
