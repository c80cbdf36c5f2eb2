package registry

import (
	"context"
	"strconv"
)

// Restore registers instances of a snapshot that are not registered, and remembers its
// fences. What is there stays: an instance here is younger than its snapshot. Nor does an
// instance come back that is older than the last process of its key, and one whose key has
// a sticky drain comes back drained. Every lease begins again, and the instances are
// Unconfirmed until they renew, as after Open. Those whose servers are gone leave after
// it; the guard keeps them for longer, if they are many.
// Revisions go on from those of r.
//
// It is one commit; the caller bounds how many it gives. It owns the instances, which
// [Record.Instance] has checked.
//
// Errors: *LimitError, ErrNotWriter, ErrNoSpace, ErrClosed. After an error nothing changed.
func (r *Registry) Restore(ctx context.Context, instances []*Instance, fences []Fence) (Receipt, error) {
	var done Receipt
	err := r.submit(ctx, &op{decide: func(p *plan) error {
		done = Receipt{}
		var missing []*Instance
		for _, in := range instances {
			if here, _ := p.find(in.Key); here == nil && (in.Incarnation == 0 || in.Incarnation >= p.floor(in.Key)) {
				missing = append(missing, in)
			}
		}
		if err := p.roomFor(missing); err != nil {
			return err
		}
		for _, in := range missing {
			here, e := p.find(in.Key)
			if here != nil { // it is listed twice
				continue
			}
			next := in.with(in.State) // a copy: a decision may be made again
			if p.fence(in.Key).Drained {
				next.State, next.Sticky = Drained, true // as for Register
			}
			lease := restoreLease
			if next.State == Suspect {
				lease = reprieveLease
			}
			p.put(nil, next, e, lease)
			p.because(Restored)
			done.Did = Created
			done.Count++
		}
		for _, f := range fences {
			if in, _ := p.find(f.Key); in == nil || in.Incarnation < f.Incarnation {
				p.remember(f.Key, max(f.Incarnation, p.floor(f.Key)), in == nil && (f.Drained || p.fence(f.Key).Drained))
			}
		}
		done.Revision = p.revision
		return nil
	}})
	if err != nil {
		return Receipt{}, err
	}
	return done, nil
}

// Outgrow makes sure that revisions go on above revision, which a life has given out whose
// store and ceiling may be lost. Without it, secondaries that have the zone of that life
// keep it until the clock has passed its serial. What that life gave out afterwards is
// covered as well, as far as [ByClock] or a distance of 1 << 20 reaches.
//
// A registry of this life, or one above revision, changes nothing. Nor does one whose store
// is shared: its revisions are those of the store.
//
// Errors: *FieldError (no secondary could compare the serials), ErrNotWriter, ErrStore,
// ErrClosed.
func (r *Registry) Outgrow(ctx context.Context, revision uint64) error {
	raised := false
	o := &op{single: true}
	o.decide = func(p *plan) error {
		raised = false
		switch {
		case r.settings().Follow || revision <= p.revision:
			return nil
		case revision-p.revision > farthest:
			return &FieldError{"revision", strconv.FormatUint(revision, 10), "is too far above that of this dnsd, " + strconv.FormatUint(p.revision, 10) + ", for serials to be compared (RFC 1982): is the clock of one of them wrong?"}
		}
		p.revision = revision + lifeStep
		p.skipped, raised = true, true
		return nil
	}
	o.after = func() { // in the queue: nothing else changes meanwhile
		if raised && o.err == nil {
			for _, s := range r.sinks {
				r.loadSink(s)
			}
		}
	}
	return r.submit(ctx, o)
}

// roomFor returns a *LimitError if not all of these fit, before any is put.
func (p *plan) roomFor(all []*Instance) error {
	limits := p.r.settings().Limits
	if p.total+len(all) > limits.Instances {
		return &LimitError{"instances", limits.Instances}
	}
	more := make(map[string]int)
	for _, in := range all {
		if more[in.Service]++; p.size(in.Service)+more[in.Service] > limits.PerService {
			return &LimitError{"instances of " + in.Service, limits.PerService}
		}
	}
	return nil
}
