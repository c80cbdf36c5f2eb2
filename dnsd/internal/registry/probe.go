package registry

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// probed is an instance to be probed.
type probed struct {
	entry    *entry
	instance *Instance
	deadline time.Duration // of its lease at the time, if it is no suspect
}

// again are the pauses before an instance whose connection broke is probed once more.
// When a process dies, the kernel closes its sockets one after the other: for some
// milliseconds the port may still accept connections.
var again = [...]time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 400 * time.Millisecond}

// ConnectionLost says that the connection of a held registration broke without a
// deregistration. The registry probes the instance at once, and removes it if it
// refuses. It probes again within half a second if the instance accepts, resets (its
// listener is being closed) or does not answer (its backlog is full). In all other cases
// the instance keeps its lease. The receipt is Removed, Changed (it refuses, and is a
// suspect now) or Nothing.
//
// Errors: ErrNotWriter.
func (r *Registry) ConnectionLost(ctx context.Context, key Key, incarnation uint64) (Receipt, error) {
	r.mu.RLock()
	if !r.mayLocked() {
		defer r.mu.RUnlock()
		return Receipt{}, ErrNotWriter
	}
	e := r.catalog.find(key)
	if e == nil || e.in.Incarnation != incarnation || !r.provable(e.in) {
		defer r.mu.RUnlock()
		return r.foundLocked(key), nil // e.in is another process, or no probe proves anything
	}
	s := probed{e, e.in, e.deadline}
	r.mu.RUnlock()
	done, open := r.prove(ctx, s)
	for _, pause := range again {
		if !open {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return done, nil
		}
		r.mu.RLock()
		if r.catalog.find(key) != s.entry || s.entry.in != s.instance || s.entry.deadline != s.deadline {
			defer r.mu.RUnlock()
			return r.foundLocked(key), nil // it renewed or changed since
		}
		r.mu.RUnlock()
		done, open = r.prove(ctx, s)
	}
	return done, nil
}

// foundLocked is the receipt of a write that changed nothing of key.
func (r *Registry) foundLocked(key Key) Receipt {
	e := r.catalog.find(key)
	if e == nil {
		return Receipt{Revision: r.revision}
	}
	return Receipt{Revision: e.in.Revision, Instance: e.shown(), ExpiresIn: e.left(r.clock.peek()), Count: 1}
}

// provable says whether a refused connection proves that in is dead: a UDP-only server
// always refuses TCP connections.
func (r *Registry) provable(in *Instance) bool {
	return !r.settings().Guard.NoProbe && strings.HasSuffix(in.Service, "._tcp")
}

// found is foundLocked without the lock.
func (r *Registry) found(key Key) Receipt {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.foundLocked(key)
}

// prove removes s if it refuses a connection and has not renewed or changed since. open
// says that the port may still be about to close.
func (r *Registry) prove(ctx context.Context, s probed) (done Receipt, open bool) {
	select {
	case r.probes <- struct{}{}:
	case <-ctx.Done():
		return r.found(s.instance.Key), false
	}
	pctx, cancel := context.WithTimeout(ctx, r.probeTimeout)
	err := r.settings().Probe(pctx, s.instance.HostPort())
	cancel()
	<-r.probes
	// A host resets a connection to a closed port (RFC 9293 section 3.10.7.1). A timeout
	// or an unreachable network may be a fault on our side.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		var silent net.Error // a timeout of the context or of the socket
		open = err == nil || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &silent) && silent.Timeout()
		return r.found(s.instance.Key), open
	}
	kept := false
	err = r.submit(ctx, &op{unstored: true, decide: func(p *plan) error {
		done, kept = p.bury(s)
		return nil
	}})
	switch {
	case err != nil:
		return r.found(s.instance.Key), false
	case done.Did == Removed:
		r.stats.proven.Add(1)
		r.settings().Logger.Info("registry: removed, it refuses connections", "instance", s.instance.Key.String(), "host", s.instance.HostPort())
	case kept:
		r.settings().Logger.Warn("registry: refuses connections, and is kept as a suspect, because too many refuse at once", "instance", s.instance.Key.String(), "host", s.instance.HostPort())
	}
	return done, false
}

// bury plans to remove s, which refused a connection, unless it renewed or changed since.
// If too many instances refuse at once, s is kept as a suspect, and probed again.
func (p *plan) bury(s probed) (done Receipt, kept bool) {
	in, e := p.find(s.instance.Key)
	switch {
	case in == nil:
		return Receipt{Revision: p.revision}, false
	case e == nil:
		return Receipt{Revision: in.Revision, Instance: in, ExpiresIn: in.Lease, Count: 1}, false
	case e != s.entry, p.touched(in.Key), in.Incarnation != s.instance.Incarnation,
		in.HostPort() != s.instance.HostPort(), in.State != Suspect && e.deadline != s.deadline:
		return p.standing(Nothing, in, e), false
	case p.refuses(in, e):
		p.refused++
		p.remove(in, e, loseLease)
		p.because(Refused)
		return p.removed(in), false
	case in.State == Suspect, in.Shown() == Drained:
		return p.standing(Nothing, in, e), true
	}
	next := p.put(in, in.with(Suspect), e, reprieveLease)
	p.because(TooMany)
	return p.standing(Changed, next, e), true
}

// prober probes suspects.
type prober struct {
	r       *Registry
	workers sync.WaitGroup

	mu      sync.Mutex
	running int          // guarded by mu
	waiting []probed     // guarded by mu
	known   map[Key]bool // waiting or being probed; guarded by mu
}

// add queues suspects, except those that are still waiting or being probed.
func (b *prober) add(ctx context.Context, suspects []probed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range suspects {
		if b.r.provable(s.instance) && !b.known[s.instance.Key] {
			b.known[s.instance.Key] = true
			b.waiting = append(b.waiting, s)
		}
	}
	for b.running < min(cap(b.r.probes), len(b.waiting)) {
		b.running++
		b.workers.Go(func() { b.work(ctx) })
	}
}

func (b *prober) work(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.running-- }()
	for len(b.waiting) > 0 && ctx.Err() == nil {
		s := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.mu.Unlock()
		b.r.prove(ctx, s)
		b.mu.Lock()
		delete(b.known, s.instance.Key)
	}
}
