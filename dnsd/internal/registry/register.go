package registry

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// Register registers, renews, changes or recovers in: whatever it takes that
// afterwards in is registered and its lease begins. Zero TTL and Lease become
// defaults; State and Revision are ignored; a drained instance stays drained.
// Registering what is already so is a renewal, and not written. The receipt is
// Created, Changed or Renewed.
//
// Errors: *FieldError, *FencedError, *LimitError, ErrNoSpace, ErrClosed.
func (r *Registry) Register(ctx context.Context, in Instance) (Receipt, error) {
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
	// Detached from the request that these may be parts of.
	in.Service, in.ID, in.Host = strings.Clone(in.Service), strings.Clone(in.ID), strings.Clone(in.Host)
	in.Meta = maps.Clone(in.Meta)
	in.State, in.Sticky = Up, false
	var done Receipt
	err = r.submit(ctx, &op{unstored: true, decide: func(p *plan) (err error) {
		if p.failure != nil && !p.renews(&in) {
			return p.failure
		}
		done, err = p.register(in)
		return err
	}})
	if err != nil {
		return Receipt{}, err
	}
	r.stats.registered.Add(1)
	return done, nil
}

// registerAgain is the quick way of a registration that changes nothing.
func (r *Registry) registerAgain(in *Instance) *Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.catalog.find(in.Key)
	if e == nil || e.pending || !e.in.same(in) || e.in.State == Suspect {
		return nil
	}
	r.renewLocked(e, r.clock.read())
	r.stats.renewed.Add(1)
	return e.in
}

func (p *plan) register(in Instance) (Receipt, error) {
	old, e := p.find(in.Key)
	if old == nil {
		// Fenced only is who says which incarnation it is.
		fence := p.fence(in.Key)
		if in.Incarnation > 0 && in.Incarnation < fence.Incarnation {
			return Receipt{}, &FencedError{in.Key, fence.Incarnation, in.Incarnation, true}
		}
		if fence.Drained {
			in.State, in.Sticky = Drained, true
		}
		if err := p.room(in.Service); err != nil {
			return Receipt{}, err
		}
		if s := p.r.catalog.services[in.Service]; s != nil {
			in.Service = s.name // one string for all
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
	in.Service, in.ID = old.Service, old.ID
	return begun(Changed, p.put(old, &in, e, renewLease)), nil
}

// renews says whether to register in is to renew it, which needs no store.
func (p *plan) renews(in *Instance) bool {
	old, _ := p.find(in.Key)
	return old != nil && old.same(in)
}

// Deregister removes key at once. A nil incarnation removes whoever lives there;
// one lower than the living is fenced. When that cannot be stored, key leaves the
// answers nevertheless, the error says so beside the receipt, and after a restart key
// may be back for the length of its lease.
//
// Errors: ErrNotFound, *FencedError, ErrNoSpace, ErrClosed.
func (r *Registry) Deregister(ctx context.Context, key Key, incarnation *uint64) (Receipt, error) {
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
