package registry

import (
	"context"
	"slices"
)

// Repeat is a Writer for writes that were sent before, when the sender's registry was at
// the revision since, and whose outcome is unknown. A write is made only if it cannot undo
// what came after the first attempt: if nothing has changed since under its key, the first
// attempt has changed nothing, and if the instance is as the write wants it, there is
// nothing to do. Else the error is ErrOvertaken. It concerns Register, Deregister, Drain,
// Undrain and Unfence; the other methods are those of the registry.
func (r *Registry) Repeat(since uint64) Writer { return &repeat{r, since} }

type repeat struct {
	*Registry
	since uint64
}

func (w *repeat) Register(ctx context.Context, in Instance) (Receipt, error) {
	return w.register(ctx, in, &w.since)
}

func (w *repeat) Deregister(ctx context.Context, key Key, incarnation *uint64) (Receipt, error) {
	return w.deregister(ctx, key, incarnation, &w.since)
}

func (w *repeat) Drain(ctx context.Context, key Key, sticky bool) (Receipt, error) {
	return w.drain(ctx, key, sticky, &w.since)
}

func (w *repeat) Undrain(ctx context.Context, key Key) (Receipt, error) {
	return w.undrain(ctx, key, &w.since)
}

func (w *repeat) Unfence(ctx context.Context, key Key) (Receipt, error) {
	return w.unfence(ctx, key, &w.since)
}

// overtaken says whether key may have changed since a revision; nil: that is not asked.
func (p *plan) overtaken(key Key, since *uint64) bool {
	if since == nil {
		return false
	}
	if in, _ := p.find(key); in != nil {
		return in.Revision > *since
	}
	if p.touched(key) {
		return true // this batch removes it
	}
	events, ok := p.r.history.since(*since, p.r.revision)
	return !ok || slices.ContainsFunc(events, func(e *Event) bool { return e.Key() == key })
}
