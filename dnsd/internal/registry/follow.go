package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Content is everything in a store that several registries share.
type Content struct {
	Life Life
	Snapshot
}

// ErrGap says that a batch does not continue where the follower is: Reset it.
var ErrGap = errors.New("registry: the batch does not follow on this revision")

// Loaded says whether the registry has content. Only a follower before its first Reset
// has none.
func (r *Registry) Loaded() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.loaded
}

// Reset replaces the content of a follower. Sinks load it. The history begins there, and
// watches end with ErrCompacted. If life and revision are as before, nothing happens.
// After an error the content is as before.
func (r *Registry) Reset(c Content) (err error) {
	err = ErrClosed
	r.inTurn(func() { err = r.reset(c) })
	return err
}

func (r *Registry) reset(c Content) error {
	r.mu.RLock()
	leads, same := r.term != nil, r.loaded && r.life == c.Life && r.revision == c.Revision
	r.mu.RUnlock()
	switch {
	case leads:
		return errors.New("registry: reset: it is the writer")
	case same:
		return nil
	}
	next := catalog{services: make(map[string]*service)}
	for in, err := range c.Instances {
		if err != nil {
			return fmt.Errorf("registry: reset: %w", err)
		}
		if next.find(in.Key) != nil {
			return fmt.Errorf("registry: reset: %s is there twice", in.Key)
		}
		e := next.insert(in, in.Lease)
		in.Service = e.service.name // all instances of a service share one string
		// The last change may have removed an instance, so those that are here do not tell its
		// revision. With a lower one, a client would be told that it has what is here already.
		e.service.revision = c.Revision
	}
	remembered := fences{max: r.fences.max, age: r.fences.age, last: r.fences.last} // [Registry.Fences] may be between two pages
	for f, err := range c.Fences {
		if err != nil {
			return fmt.Errorf("registry: reset: %w", err)
		}
		remembered.apply(f)
	}
	r.ceiling.cover(c.Revision)

	r.mu.Lock()
	r.catalog, r.fences = next, remembered
	clear(r.reprieves)
	r.life, r.revision, r.loaded = c.Life, c.Revision, true
	r.began = c.Revision
	r.history.events = nil
	r.mu.Unlock()
	all := r.instances()
	for _, s := range r.sinks {
		s.Load(c.Revision, slices.Values(all), nil)
	}
	r.watchers.cutAll(ErrCompacted)
	r.publish(c.Revision)
	return nil
}

// Follow applies a batch that the writer has committed: it gets to sinks and watches. A
// batch without changes whose revision is higher ends the history there, see Skip.
//
// Errors: ErrGap (Reset is needed; nothing has changed), ErrClosed.
func (r *Registry) Follow(b *Batch) (err error) {
	err = ErrClosed
	r.inTurn(func() { err = r.follow(b) })
	return err
}

func (r *Registry) follow(b *Batch) error {
	p := r.plan
	r.ceiling.cover(b.Revision)
	r.mu.Lock()
	p.begin(r)
	if err := p.follow(b); err != nil {
		p.end()
		r.mu.Unlock()
		return err
	}
	events := p.apply()
	r.mu.Unlock()
	r.announce(events, p.changed.Changes)
	p.end()
	r.publish(b.Revision)
	return nil
}

// follow plans what another registry has decided.
func (p *plan) follow(b *Batch) error {
	r := p.r
	n := uint64(len(b.Changes))
	if r.term != nil || !r.loaded || b.Revision < r.revision || n > 0 && b.Revision != r.revision+n {
		return ErrGap
	}
	for i, c := range b.Changes {
		if c.Revision != r.revision+uint64(i)+1 || c.New != nil && c.New.Revision != c.Revision {
			return ErrGap
		}
		key := c.Key()
		old, e := p.find(key)
		if c.New == nil && old == nil {
			return fmt.Errorf("%w: it removes %s, which is not registered", ErrGap, key)
		}
		c.Old, c.Cause = old, Followed
		if old != nil && c.New != nil {
			c.New.Service, c.New.ID = old.Service, old.ID
		} else if s := r.catalog.services[key.Service]; s != nil && c.New != nil {
			c.New.Service = s.name
		}
		p.step(step{Change: c, entry: e, key: key})
		p.changed.Changes = append(p.changed.Changes, c)
	}
	p.revision = b.Revision
	p.skipped = n == 0 && b.Revision > r.revision
	p.changed.Fences = append(p.changed.Fences[:0], b.Fences...)
	return nil
}

// NewLife returns a life that a shared store may begin, and its first revision. It is
// above everything that this registry has given out or followed, and above seen.
func (r *Registry) NewLife(seen uint64) (Life, uint64) {
	first := uint64(0)
	r.inTurn(func() {
		first = max(r.above(max(seen, r.Revision())), 1)
	})
	return newLife(), first
}

// Content returns what a follower would be Reset to, for a copy of it. The instances are
// shared. Instances is nil after Close.
func (r *Registry) Content() Content {
	var c Content
	r.inTurn(func() {
		all := r.instances()
		r.mu.RLock()
		defer r.mu.RUnlock()
		c = Content{r.life, Snapshot{Revision: r.revision, Instances: withoutErrors(all), Fences: withoutErrors(r.fences.all())}}
	})
	return c
}

// instances returns all, ordered by key. It runs in the queue.
func (r *Registry) instances() []*Instance {
	r.mu.RLock()
	names := r.namesLocked()
	r.mu.RUnlock()
	slices.Sort(names)
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*Instance, 0, r.catalog.instances)
	for _, name := range names {
		for _, e := range r.catalog.services[name].entries {
			all = append(all, e.in)
		}
	}
	return all
}

// withoutErrors yields what is in all.
func withoutErrors[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Await waits until every change up to revision is in all sinks.
//
// Errors: the context's.
func (r *Registry) Await(ctx context.Context, revision uint64) error {
	for {
		r.mu.Lock()
		if r.published >= revision {
			r.mu.Unlock()
			return nil
		}
		if r.advanced == nil {
			r.advanced = make(chan struct{})
		}
		advanced := r.advanced
		r.mu.Unlock()
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish notes that all sinks have everything up to revision.
func (r *Registry) publish(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = revision
	if r.advanced != nil {
		close(r.advanced)
		r.advanced = nil
	}
}

// Skip uses up a revision without a change: the history begins there, so that no client
// gets a difference to earlier data. It is for a zone that publishes other data than
// before at the current revision.
//
// Errors: ErrNotWriter, ErrUncertain, ErrStore, ErrClosed.
func (r *Registry) Skip(ctx context.Context) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{single: true, decide: func(p *plan) error {
		p.revision++
		p.skipped = true
		done = Receipt{Did: Forgotten, Revision: p.revision}
		return nil
	}})
	if err != nil {
		return Receipt{}, err
	}
	return done, nil
}
