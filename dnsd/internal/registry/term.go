package registry

import (
	"context"
	"errors"
)

// Term is the time in which this registry, and no other, writes to a store that several
// share.
type Term interface {
	// Commit makes b durable as Backend.Commit does. After ErrNotWriter and ErrUncertain
	// the term is over.
	Commit(b *Batch) error
	// Valid says whether anything may be acknowledged now: no other registry can be the
	// writer yet. It is called often, and with locks held: it must be quick.
	Valid() bool
}

// alone is the term of a registry that shares its backend with no other.
type alone struct{ Backend }

func (alone) Valid() bool { return true }

// sharedBatch bounds the requests of one commit of a store that is shared: one
// transaction of etcd has at most 128 operations.
const sharedBatch = 100

// Lead makes a follower the writer, until Yield. As after Open, every lease begins again,
// and every instance is Unconfirmed until it renews. Leases end only while Run runs. The
// caller has followed everything that was committed.
func (r *Registry) Lead(t Term) {
	r.inTurn(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		now := r.clock.read()
		r.term, r.heard, r.refused = t, -1, nil
		clear(r.reprieves)
		r.catalog.wheel = wheel{now: int64(now / tick)}
		for _, s := range r.catalog.services {
			s.lost = nil
			for _, e := range s.entries {
				e.deadline = now + e.in.Lease
				e.prev, e.next = nil, nil
				r.catalog.wheel.add(e)
				r.catalog.unheard(e)
				if e.in.State == Suspect {
					r.reprieves[e] = reprieve{since: now, trial: len(s.entries) < guardMin}
				}
			}
		}
	})
}

// Yield makes the writer a follower. It returns when the commit under way has ended.
// Requests after it get ErrNotWriter.
func (r *Registry) Yield() {
	r.inTurn(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.term = nil
		clear(r.reprieves)
		for _, s := range r.catalog.services {
			for _, e := range s.entries {
				r.catalog.heard(e)
			}
		}
		r.sick.Store(nil)
	})
}

// Leads says whether this registry is the writer. One that shares its backend with no
// other always is.
func (r *Registry) Leads() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.term != nil
}

// mayLocked says whether a write may be acknowledged.
func (r *Registry) mayLocked() bool { return r.term != nil && r.term.Valid() }

// inTurn runs f in the queue: no commit runs meanwhile.
func (r *Registry) inTurn(f func()) {
	_ = r.submit(context.Background(), &op{after: f}) // the only error is ErrClosed
}

// refuse answers the requests of a batch that cannot be committed.
func refuse(batch []*op, err error) {
	for _, o := range batch {
		if o.decide != nil || o.settle {
			o.err = err
		}
	}
}

// withoutSpace plans a batch again whose store has no space left, with only the requests
// that remove instances or change nothing, because that needs no space. All others get
// failure. It returns nil if that cannot be done.
func (r *Registry) withoutSpace(batch []*op, failure error) *Batch {
	p := r.plan
	r.mu.Lock()
	defer r.mu.Unlock()
	p.pending(false)
	var possible []*op
	for _, o := range batch {
		switch {
		case o.unstored:
			p.again(failure)
			if o.err = o.decide(p); o.err == nil && p.onlyRemoves() {
				possible = append(possible, o)
			} else {
				o.err = failure
			}
		case o.decide != nil || o.settle:
			o.err = failure
		}
	}
	p.again(failure)
	for _, o := range possible {
		o.err = o.decide(p)
	}
	p.rank()
	b := p.batch()
	if !p.onlyRemoves() {
		return nil
	}
	p.pending(true)
	return b
}

// again begins the plan of the same batch from the start.
func (p *plan) again(failure error) {
	r := p.r
	p.end()
	p.begin(r)
	p.failure = failure
}

// onlyRemoves says whether all changes so far are removals.
func (p *plan) onlyRemoves() bool {
	for i := range p.steps {
		if s := &p.steps[i]; s.Revision > 0 && s.New != nil {
			return false
		}
	}
	return !p.skipped
}

// outsideTerm says whether err ends a term. It says nothing about the store.
func outsideTerm(err error) bool {
	return errors.Is(err, ErrNotWriter) || errors.Is(err, ErrUncertain)
}
