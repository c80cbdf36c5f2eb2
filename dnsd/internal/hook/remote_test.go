package hook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// remote is the writer of another dnsd, of which this one is a follower. Both have the same
// registry here.
type remote struct {
	*registry.Registry
	mu     sync.Mutex
	err    error          // of all writes
	hangs  bool           // no answer comes
	asked  map[string]int // by the name of the write
	answer *registry.Instance
	bare   bool   // receipts of renewals have no instance
	after  func() // is called when an instance was registered, before the answer
}

// fails lets all writes fail; nil: they work.
func (r *remote) fails(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *remote) count(write string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[write]
}

func (r *remote) ask(ctx context.Context, write string) error {
	r.mu.Lock()
	if r.asked == nil {
		r.asked = make(map[string]int)
	}
	r.asked[write]++
	err, hangs := r.err, r.hangs
	r.mu.Unlock()
	if hangs && err != nil {
		<-ctx.Done()
		return fmt.Errorf("peer: %w", ctx.Err())
	}
	return err
}

func (r *remote) Register(ctx context.Context, in registry.Instance) (registry.Receipt, error) {
	if err := r.ask(ctx, "register"); err != nil {
		return registry.Receipt{}, err
	}
	if r.answer != nil {
		in.Lease, in.Revision = 15*time.Second, r.answer.Revision
		*r.answer = in
		return registry.Receipt{Did: registry.Created, Revision: in.Revision, Instance: r.answer}, nil
	}
	done, err := r.Registry.Register(ctx, in)
	if r.after != nil {
		r.after()
	}
	return done, err
}

func (r *remote) Renew(ctx context.Context, key registry.Key, incarnation uint64) (registry.Receipt, error) {
	if err := r.ask(ctx, "renew"); err != nil {
		return registry.Receipt{}, err
	}
	if r.answer != nil {
		return registry.Receipt{Did: registry.Renewed, Revision: r.answer.Revision, Instance: r.answer}, nil
	}
	done, err := r.Registry.Renew(ctx, key, incarnation)
	if r.bare {
		done.Instance = nil
	}
	return done, err
}

func (r *remote) RenewAll(ctx context.Context, all []registry.Renewal) (registry.Renewals, error) {
	if err := r.ask(ctx, "renew all"); err != nil {
		return registry.Renewals{}, err
	}
	return r.Registry.RenewAll(ctx, all)
}

func (r *remote) Deregister(ctx context.Context, key registry.Key, incarnation *uint64) (registry.Receipt, error) {
	if err := r.ask(ctx, "deregister"); err != nil {
		return registry.Receipt{}, err
	}
	return r.Registry.Deregister(ctx, key, incarnation)
}

func (r *remote) Drain(ctx context.Context, key registry.Key, sticky bool) (registry.Receipt, error) {
	if err := r.ask(ctx, "drain"); err != nil {
		return registry.Receipt{}, err
	}
	return r.Registry.Drain(ctx, key, sticky)
}

func (r *remote) Undrain(ctx context.Context, key registry.Key) (registry.Receipt, error) {
	if err := r.ask(ctx, "undrain"); err != nil {
		return registry.Receipt{}, err
	}
	return r.Registry.Undrain(ctx, key)
}

func (r *remote) Unfence(ctx context.Context, key registry.Key) (registry.Receipt, error) {
	if err := r.ask(ctx, "unfence"); err != nil {
		return registry.Receipt{}, err
	}
	return r.Registry.Unfence(ctx, key)
}

func (r *remote) ReleaseGuard(ctx context.Context, service string) (registry.Receipt, error) {
	if err := r.ask(ctx, "release guard"); err != nil {
		return registry.Receipt{}, err
	}
	return r.Registry.ReleaseGuard(ctx, service)
}

func (r *remote) ConnectionLost(ctx context.Context, key registry.Key, incarnation uint64) (registry.Receipt, error) {
	if err := r.ask(ctx, "connection lost"); err != nil {
		return registry.Receipt{}, err
	}
	return r.Registry.ConnectionLost(ctx, key, incarnation)
}

// follows lets h write through w.
func (h *hook) follows(w *remote) *remote {
	h.t.Helper()
	w.Registry = h.registry
	h.cfg.Writer = w
	if err := h.Update(h.cfg); err != nil {
		h.t.Fatal(err)
	}
	return w
}

// noWriters are the ways in which a write gets no answer of a writer.
func noWriters() map[string]*remote {
	return map[string]*remote{
		"none":      {err: fmt.Errorf("%w: member b does not answer", registry.ErrNotWriter)},
		"uncertain": {err: registry.ErrUncertain},
		"hangs":     {err: registry.ErrNotWriter, hangs: true},
	}
}
