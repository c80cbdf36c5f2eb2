package registry

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// Register makes sure that in is registered, and its lease begins. A zero TTL or Lease
// becomes the default. State and Revision are ignored: an instance that an operator drained
// stays drained. Drain is the instance's own, and is what in says.
// If in is registered already and nothing differs, that is a renewal, and not stored.
// The receipt is Created, Changed or Renewed.
//
// Errors: *FieldError, *FencedError, *LimitError, ErrNoSpace, ErrClosed.
func (r *Registry) Register(ctx context.Context, in Instance) (Receipt, error) {
	return r.register(ctx, in, nil)
}

func (r *Registry) register(ctx context.Context, in Instance, since *uint64) (Receipt, error) {
	in, err := r.settings().normal(in)
	if err != nil {
		return Receipt{}, err
	}
	if out := r.registerAgain(&in); out != nil {
		return begun(Renewed, out), nil
	}
	if err := in.Key.check(); err != nil { // a key that is registered was checked
		return Receipt{}, err
	}
	// These may be parts of the text of a request, which must not be kept in memory.
	in.Service, in.ID, in.Host = strings.Clone(in.Service), strings.Clone(in.ID), strings.Clone(in.Host)
	in.Meta = maps.Clone(in.Meta)
	in.State, in.Sticky = Up, false
	var done Receipt
	err = r.submit(ctx, &op{unstored: true, decide: func(p *plan) (err error) {
		if p.failure != nil && !p.renews(&in) {
			return p.failure
		}
		done, err = p.register(in, since)
		return err
	}})
	if err != nil {
		return Receipt{}, err
	}
	r.stats.registered.Add(1)
	return done, nil
}

// registerAgain renews in without the queue if it is registered and nothing differs.
func (r *Registry) registerAgain(in *Instance) *Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.catalog.find(in.Key)
	if e == nil || !r.mayLocked() || e.pending || !e.in.same(in) || e.in.State == Suspect {
		return nil
	}
	r.renewLocked(e, r.clock.read())
	r.stats.renewed.Add(1)
	return e.in
}

func (p *plan) register(in Instance, since *uint64) (Receipt, error) {
	old, e := p.find(in.Key)
	if old == nil {
		// Incarnation 0 means that none was given, and is never fenced.
		fence := p.fence(in.Key)
		if in.Incarnation > 0 && in.Incarnation < fence.Incarnation {
			return Receipt{}, &FencedError{in.Key, fence.Incarnation, in.Incarnation, true}
		}
		if p.overtaken(in.Key, since) {
			return Receipt{}, ErrOvertaken
		}
		if fence.Drained {
			in.State, in.Sticky = Drained, true
		}
		if err := p.room(in.Service); err != nil {
			return Receipt{}, err
		}
		if s := p.r.catalog.services[in.Service]; s != nil {
			in.Service = s.name // all instances of a service share one string
		}
		return begun(Created, p.put(nil, &in, e, renewLease)), nil
	}
	if floor := max(old.Incarnation, p.floor(in.Key)); in.Incarnation < old.Incarnation || in.Incarnation > 0 && in.Incarnation < floor {
		return Receipt{}, &FencedError{in.Key, floor, in.Incarnation, floor > old.Incarnation}
	}
	if old.State == Drained {
		in.State, in.Sticky = Drained, old.Sticky
	}
	if old.same(&in) && old.State != Suspect {
		p.renew(old, e)
		return begun(Renewed, old), nil
	}
	if p.overtaken(in.Key, since) {
		return Receipt{}, ErrOvertaken
	}
	in.Service, in.ID = old.Service, old.ID
	return begun(Changed, p.put(old, &in, e, renewLease)), nil
}

// renews says whether registering in is a renewal, which needs no store.
func (p *plan) renews(in *Instance) bool {
	old, _ := p.find(in.Key)
	return old != nil && old.same(in)
}

// Deregister removes key at once. With a nil incarnation it removes any instance under
// the key; a lower one than that of the instance is fenced. If the removal cannot be
// stored, key leaves the answers nevertheless. Then Deregister returns a receipt and an
// error, and after a restart key may be back for the length of its lease.
//
// Errors: ErrNotFound, *FencedError, ErrNoSpace, ErrClosed.
func (r *Registry) Deregister(ctx context.Context, key Key, incarnation *uint64) (Receipt, error) {
	return r.deregister(ctx, key, incarnation, nil)
}

func (r *Registry) deregister(ctx context.Context, key Key, incarnation, since *uint64) (Receipt, error) {
	var done Receipt
	o := &op{unstored: true, decide: func(p *plan) error {
		in, e := p.find(key)
		switch {
		case in == nil && p.failure != nil && r.debt.owes(key):
			return p.failure
		case in == nil:
			return ErrNotFound
		case incarnation != nil && *incarnation < in.Incarnation:
			return &FencedError{key, in.Incarnation, *incarnation, false}
		case p.overtaken(key, since):
			return ErrOvertaken
		}
		p.remove(in, e, keepLease)
		done = p.removed(in)
		return nil
	}}
	err := r.submit(ctx, o)
	if err != nil {
		return Receipt{}, err
	}
	r.stats.deregistered.Add(1)
	if o.owed != nil {
		err = fmt.Errorf("registry: %s has left the answers, which is not stored yet: %w", key, o.owed)
	}
	return done, err
}
