package registry

import (
	"context"
	"slices"
)

// Attach loads s with everything, and then passes every change to it, until detach.
func (r *Registry) Attach(s Sink) (detach func()) { return r.attach(s, false) }

// AttachRenewed is Attach for a sink that publishes other data than an earlier sink did
// at the current revision, for example a zone with other name servers. It loads s at
// the next revision, which no other change gets. The history begins there, so that no
// client gets a difference to the earlier data. If the store is shared, the caller uses
// up the revision before, by Skip of the writer.
//
// If the earlier sink publishes on, it publishes later changes with its data. When it does
// so no more, LoadRenewed is due.
func (r *Registry) AttachRenewed(s Sink) (detach func()) { return r.attach(s, true) }

// LoadRenewed loads a sink of AttachRenewed again, at a revision that AttachRenewed would
// use now.
func (r *Registry) LoadRenewed(s Sink) {
	r.inTurn(func() {
		if !r.settings().Follow {
			r.skip()
		}
		if r.Loaded() {
			r.loadSink(s)
		}
	})
}

func (r *Registry) attach(s Sink, renewed bool) (detach func()) {
	attached := &op{after: func() {
		// This runs in the queue: until it returns, only renewals change anything.
		r.sinks = append(r.sinks, s)
		r.tellLate(s, true)
		if renewed && !r.settings().Follow {
			r.skip()
		}
		if !r.Loaded() {
			return // Reset loads it
		}
		r.loadSink(s)
	}}
	r.submit(context.Background(), attached) // the only error is ErrClosed: then s gets no changes
	return func() {
		r.submit(context.Background(), &op{after: func() {
			r.tellLate(s, false)
			if i := slices.Index(r.sinks, s); i >= 0 {
				r.sinks = slices.Delete(r.sinks, i, i+1)
			}
		}})
	}
}

// loadSink gives a sink everything. It runs in the queue.
func (r *Registry) loadSink(s Sink) {
	all := r.instances()
	r.mu.RLock()
	changes := make([]Change, len(r.history.events))
	for i, e := range r.history.events {
		changes[i] = e.Change
	}
	revision := r.revision
	r.mu.RUnlock()
	s.Load(revision, slices.Values(all), changes)
}

// skip uses up a revision without a change.
func (r *Registry) skip() {
	r.mu.RLock()
	next := r.revision + 1
	r.mu.RUnlock()
	r.ceiling.cover(next)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision, r.published, r.history.events = next, next, nil
}
