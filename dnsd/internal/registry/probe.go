package registry

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"
)

// probed is an instance to be asked whether it is dead.
type probed struct {
	entry    *entry
	instance *Instance
	deadline time.Duration // of its lease when the question came up, for one that is no suspect
}

// ConnectionLost tells that the connection which held a registration broke
// without a deregistration. The instance is probed at once, and removed when it
// refuses; anything else leaves it to its lease. It returns after the verdict.
func (r *Registry) ConnectionLost(ctx context.Context, key Key, incarnation uint64) {
	r.mu.RLock()
	e := r.catalog.find(key)
	if e == nil || e.in.Incarnation != incarnation || !r.provable(e.in) {
		r.mu.RUnlock()
		return // replaced by a newer one: none of its business
	}
	s := probed{e, e.in, e.deadline}
	r.mu.RUnlock()
	r.prove(ctx, s)
}

// provable says whether a refused connection proves anything: who serves UDP
// refuses TCP for all his life.
func (r *Registry) provable(in *Instance) bool {
	return !r.settings().Guard.NoProbe && strings.HasSuffix(in.Service, "._tcp")
}

// prove removes s if it refuses a connection and nothing was heard of it since.
func (r *Registry) prove(ctx context.Context, s probed) {
	select {
	case r.probes <- struct{}{}:
	case <-ctx.Done():
		return
	}
	pctx, cancel := context.WithTimeout(ctx, r.settings().Guard.ProbeTimeout)
	err := r.settings().Probe(pctx, s.instance.HostPort())
	cancel()
	<-r.probes
	// Only the host itself says "refused" (RFC 9293 section 3.10.7.1: a reset for
	// a closed port). A timeout or an unreachable net may well be ours.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return
	}
	removed := false
	err = r.submit(ctx, &op{decide: func(p *plan) error {
		in, e := p.find(s.instance.Key)
		if in == nil || e != s.entry || p.touched(in.Key) || in.Incarnation != s.instance.Incarnation ||
			in.HostPort() != s.instance.HostPort() || in.State != Suspect && e.deadline != s.deadline {
			return nil
		}
		p.remove(in, e, keepLease)
		removed = true
		return nil
	}})
	if err == nil && removed {
		r.stats.proven.Add(1)
		r.settings().Logger.Info("registry: removed, it refuses connections", "instance", s.instance.Key.String(), "host", s.instance.HostPort())
	}
}
