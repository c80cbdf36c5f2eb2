package registry

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Renew begins the lease of key again. Incarnation 0 renews any instance under the key; a
// lower one than that of the instance is fenced; a higher one is not found, and has to
// register.
//
// Errors: ErrNotFound (register again), *FencedError, ErrNoSpace, ErrClosed.
func (r *Registry) Renew(ctx context.Context, key Key, incarnation uint64) (Receipt, error) {
	r.mu.Lock()
	if !r.mayLocked() {
		r.mu.Unlock()
		return Receipt{}, ErrNotWriter
	}
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

// Renewal names a lease that RenewAll renews.
type Renewal struct {
	Key
	Incarnation uint64 // as for Renew
}

// RenewAll renews many leases. The receipt has the registry's revision at the end. It is
// Changed if a suspect came back. After an error, some may have been renewed.
//
// Errors: ErrNoSpace, ErrClosed.
func (r *Registry) RenewAll(ctx context.Context, all []Renewal) (Renewals, error) {
	const stride = 256 // leases renewed while others wait
	var slow []Renewal // those that must go through the queue
	if len(all) == 0 {
		return Renewals{Receipt: Receipt{Revision: r.Revision()}}, nil
	}
	out := Renewals{Receipt: Receipt{Did: Renewed}}
	for part := range slices.Chunk(all, stride) {
		r.mu.Lock()
		if !r.mayLocked() {
			r.mu.Unlock()
			return Renewals{}, ErrNotWriter
		}
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

// owns returns an error unless a process of the given incarnation may renew in.
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

// renewLocked begins the lease of e again. That is no change, so an Unconfirmed instance
// becomes Up without a revision.
func (r *Registry) renewLocked(e *entry, now time.Duration) {
	if e.deadline-now < e.in.Lease/latePart {
		r.lateLocked(e, now)
	}
	r.beginLocked(e, now)
}

// beginLocked begins the lease of e, which may be another one than before.
func (r *Registry) beginLocked(e *entry, now time.Duration) {
	r.catalog.heard(e)
	if len(r.reprieves) > 0 {
		delete(r.reprieves, e) // it was heard
	}
	r.catalog.extend(e, now+e.in.Lease)
	r.heard = now
}
