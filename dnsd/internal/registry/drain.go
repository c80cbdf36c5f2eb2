package registry

import "context"

// Drain takes key out of the answers until Undrain. The drain survives renewals, changes
// and restarts of the registry. It ends when the instance is removed, unless it is
// sticky: then the instance is drained when it registers again. It has nothing to do with
// Instance.Drain: either of them keeps the instance out.
//
// Errors: ErrNotFound, ErrNoSpace, ErrClosed.
func (r *Registry) Drain(ctx context.Context, key Key, sticky bool) (Receipt, error) {
	return r.drain(ctx, key, sticky, nil)
}

func (r *Registry) drain(ctx context.Context, key Key, sticky bool, since *uint64) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		in, e := p.find(key)
		switch {
		case in == nil:
			return ErrNotFound
		case in.State == Drained && in.Sticky == sticky:
			done = p.standing(Nothing, in, e)
		case p.overtaken(key, since):
			return ErrOvertaken
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

// Undrain puts key back into the answers, as a suspect if it was one, unless the instance
// drains itself. It also lifts the
// sticky drain of an instance that is not registered; then the receipt is Forgotten and
// has no Instance.
//
// Errors: ErrNotFound, ErrNoSpace, ErrClosed.
func (r *Registry) Undrain(ctx context.Context, key Key) (Receipt, error) {
	return r.undrain(ctx, key, nil)
}

func (r *Registry) undrain(ctx context.Context, key Key, since *uint64) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		in, e := p.find(key)
		switch {
		case in == nil && p.fence(key).Drained && p.overtaken(key, since):
			return ErrOvertaken
		case in == nil && p.fence(key).Drained:
			p.remember(key, p.floor(key), false)
			done = Receipt{Did: Forgotten, Revision: p.revision}
		case in == nil:
			return ErrNotFound
		case in.State == Drained && p.overtaken(key, since):
			return ErrOvertaken
		case in.State == Drained:
			next := in.with(Up)
			if _, reprieved := r.reprieves[e]; reprieved {
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
