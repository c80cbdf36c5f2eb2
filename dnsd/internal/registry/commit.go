package registry

import (
	"fmt"
	"time"
)

// commit runs a batch: it decides, makes the changes durable, and publishes them. It
// returns how long the backend took. Only one commit runs at a time.
func (r *Registry) commit(batch []*op) (took time.Duration) {
	p := r.plan
	settle := false
	r.mu.Lock()
	p.begin(r)
	for _, o := range batch {
		settle = settle || o.settle
		if o.decide != nil {
			o.err = o.decide(p)
		}
	}
	p.rank()
	p.pending(true)
	b := p.batch()
	r.mu.Unlock()

	r.ceiling.cover(b.Revision)
	var err error
	store := len(b.Changes) > 0 || len(b.Fences) > 0 || r.debt.len() > 0 || settle
	if store {
		r.stats.commits.Add(1)
		began := time.Now()
		if err = r.backend.Commit(r.debt.before(b)); err != nil {
			err = fmt.Errorf("%w: %w", ErrStore, err)
			r.stats.failures.Add(1)
		}
		took = time.Since(began)
		r.stats.took.add(took)
	}

	r.mu.Lock()
	p.pending(false)
	if err == nil {
		r.debt.paid()
	} else {
		b = r.replanLocked(batch, err)
	}
	events := p.apply()
	r.stats.unstored.Store(int64(r.debt.len()))
	r.mu.Unlock()

	if store {
		r.tell(err)
	}
	if len(events) > 0 {
		for _, s := range r.sinks {
			s.Apply(b.Changes)
		}
		r.watchers.deliver(events)
	}
	for _, o := range batch {
		if o.after != nil {
			o.after()
		}
	}
	p.end()
	return took
}

// replanLocked plans again after a commit failed, but only the requests that may be done
// without being stored. All others get failure, also those that were refused: the reason
// of a refusal may be a change that was not made.
func (r *Registry) replanLocked(batch []*op, failure error) *Batch {
	p := r.plan
	p.end()
	p.begin(r)
	p.failure = failure
	for _, o := range batch {
		switch {
		case o.unstored:
			steps, marked := len(p.steps), len(p.marked)
			if o.err = o.decide(p); p.changes(steps) || len(p.marked) > marked {
				o.owed = failure
			}
		case o.decide != nil || o.settle:
			o.err = failure
		}
	}
	p.rank()
	b := p.batch() // its revisions are below the ceiling: it is a part of the first plan
	r.debt.add(b)
	return b
}

// tell notes whether commits fail. It logs only the first failure and the recovery, so
// that the log does not fill a disk that is full.
func (r *Registry) tell(err error) {
	was := r.sick.Load() != nil
	switch {
	case err == nil && was:
		r.sick.Store(nil)
		r.settings().Logger.Info("registry: changes can be stored again")
	case err != nil:
		r.sick.Store(&err)
		if !was {
			r.settings().Logger.Error("registry: cannot store changes: registrations are refused until it works again; dead instances still leave the answers", "err", err)
		}
	}
}

// Tests: backend_test.go, queue_test.go.
