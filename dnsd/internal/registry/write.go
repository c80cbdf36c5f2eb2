package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
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

// Renew begins the lease of key anew. incarnation 0 renews whoever lives there;
// a lower one than the living is fenced, a higher one has to register.
//
// Errors: ErrNotFound (register again), *FencedError, ErrNoSpace, ErrClosed.
func (r *Registry) Renew(ctx context.Context, key Key, incarnation uint64) (Receipt, error) {
	r.mu.Lock()
	e := r.catalog.find(key)
	if e != nil && !e.pending && e.in.State != Suspect {
		defer r.mu.Unlock()
		if err := e.in.owns(incarnation); err != nil {
			return Receipt{}, err
		}
		r.renewLocked(e, r.clock.read())
		r.stats.renewed.Add(1)
		return begun(Renewed, e.in), nil
	}
	r.mu.Unlock()

	var done Receipt
	err := r.submit(ctx, &op{unstored: true, decide: func(p *plan) (err error) {
		done, err = p.renewKey(key, incarnation)
		return err
	}})
	if err != nil {
		return Receipt{}, err
	}
	r.stats.renewed.Add(1)
	return done, nil
}

// Renewal is what RenewAll needs to know of a lease.
type Renewal struct {
	Key
	Incarnation uint64 // as for Renew; 0: whoever lives there
}

// RenewAll renews many leases. The receipt has the registry's revision at the end;
// it is Changed if a suspect came back. On an error some may have been renewed.
//
// Errors: ErrNoSpace, ErrClosed.
func (r *Registry) RenewAll(ctx context.Context, all []Renewal) (Renewals, error) {
	const stride = 256 // leases renewed while others wait
	var slow []Renewal // those that need their turn
	if len(all) == 0 {
		return Renewals{Receipt: Receipt{Revision: r.Revision()}}, nil
	}
	out := Renewals{Receipt: Receipt{Did: Renewed}}
	for part := range slices.Chunk(all, stride) {
		r.mu.Lock()
		now := r.clock.read()
		for _, n := range part {
			e := r.catalog.find(n.Key)
			if e == nil || e.pending || e.in.State == Suspect || e.in.owns(n.Incarnation) != nil {
				slow = append(slow, n)
				continue
			}
			r.renewLocked(e, now)
		}
		out.Revision = r.revision
		r.mu.Unlock()
	}
	out.Count = len(all) - len(slow)
	r.stats.renewed.Add(uint64(out.Count))
	if len(slow) == 0 {
		return out, nil
	}
	var late Renewals
	err := r.submit(ctx, &op{unstored: true, decide: func(p *plan) error {
		late = p.renewAll(slow)
		return nil
	}})
	if err != nil {
		return Renewals{}, err
	}
	r.stats.renewed.Add(uint64(late.Count))
	late.Count += out.Count
	if late.Count == 0 {
		late.Did = Nothing
	}
	return late, nil
}

func (p *plan) renewAll(all []Renewal) Renewals {
	out := Renewals{Receipt: Receipt{Did: Renewed}}
	for _, n := range all {
		var fenced *FencedError
		switch done, err := p.renewKey(n.Key, n.Incarnation); {
		case errors.As(err, &fenced):
			out.Replaced = append(out.Replaced, n.Key)
		case err != nil:
			out.Unknown = append(out.Unknown, n.Key)
		default:
			out.Count++
			if done.Did == Changed {
				out.Did = Changed
			}
		}
	}
	out.Revision = p.revision
	return out
}

func (p *plan) renewKey(key Key, incarnation uint64) (Receipt, error) {
	in, e := p.find(key)
	if in == nil {
		return Receipt{}, ErrNotFound
	}
	if err := in.owns(incarnation); err != nil {
		return Receipt{}, err
	}
	if in.State == Suspect {
		return begun(Changed, p.put(in, in.with(Up), e, renewLease)), nil
	}
	p.renew(in, e)
	return begun(Renewed, in), nil
}

// owns says whether a process of that incarnation may speak for in.
func (in *Instance) owns(incarnation uint64) error {
	switch {
	case incarnation == 0 || incarnation == in.Incarnation:
		return nil
	case incarnation < in.Incarnation:
		return &FencedError{in.Key, in.Incarnation, incarnation, false}
	default:
		return ErrNotFound
	}
}

// renewLocked begins the lease of e anew. It is no change, so that Unconfirmed
// becomes Up without a revision.
func (r *Registry) renewLocked(e *entry, now time.Duration) {
	if e.in.State == Unconfirmed {
		r.catalog.replace(e, e.in.with(Up))
	}
	if len(r.holds) > 0 {
		delete(r.holds, e) // of one that is drained: others have their turn
	}
	r.catalog.extend(e, now+e.in.Lease)
	r.heard = now
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

// Drain takes key out of the answers while its lease lives. That survives
// renewals, changes and restarts of the registry. A sticky one survives the
// instance, too: it is drained when it registers again.
//
// Errors: ErrNotFound, ErrNoSpace, ErrClosed.
func (r *Registry) Drain(ctx context.Context, key Key, sticky bool) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		in, e := p.find(key)
		switch {
		case in == nil:
			return ErrNotFound
		case in.State == Drained && in.Sticky == sticky:
			done = p.standing(Nothing, in, e)
		default:
			next := in.with(Drained)
			next.Sticky = sticky
			done = p.standing(Changed, p.put(in, next, e, keepLease), e)
		}
		return nil
	}})
	if err != nil {
		return Receipt{}, err
	}
	return done, nil
}

// Undrain puts key back into the answers: as a suspect, if it was one. It also lifts
// the sticky drain of an instance that is not registered; then the receipt is
// Forgotten and has no Instance.
//
// Errors: ErrNotFound, ErrNoSpace, ErrClosed.
func (r *Registry) Undrain(ctx context.Context, key Key) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		in, e := p.find(key)
		switch {
		case in == nil && p.fence(key).Drained:
			p.remember(key, p.floor(key), false)
			done = Receipt{Did: Forgotten, Revision: p.revision}
		case in == nil:
			return ErrNotFound
		case in.State == Drained:
			next := in.with(Up)
			if _, held := r.holds[e]; held {
				next.State = Suspect
			}
			next.Sticky = false
			done = p.standing(Changed, p.put(in, next, e, keepLease), e)
		default:
			done = p.standing(Nothing, in, e)
		}
		return nil
	}})
	if err != nil {
		return Receipt{}, err
	}
	return done, nil
}

// Unfence forgets which incarnation was registered last under key, so that an
// older one is not refused any more: for operators, when a host's clock was
// ahead. It does nothing to who lives there.
//
// Errors: ErrNotFound (nobody is fenced), ErrNoSpace, ErrClosed.
func (r *Registry) Unfence(ctx context.Context, key Key) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		f := p.fence(key)
		if f.Incarnation == 0 {
			return ErrNotFound
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
