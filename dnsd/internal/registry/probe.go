package registry

import (
	"context"
	"errors"
	"net"
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

// again are the pauses before a lost instance is probed once more: a kernel that
// buries a process closes its sockets one after the other, so that for some
// milliseconds the port may still take connections when the held one is gone.
var again = [...]time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 400 * time.Millisecond}

// ConnectionLost tells that the connection which held a registration broke
// without a deregistration. The instance is probed at once, again within half a
// second while it accepts, resets (the listener closed meanwhile) or says nothing (a
// full backlog drops what comes), and removed when it refuses; anything else leaves
// it to its lease. It returns after the verdict.
func (r *Registry) ConnectionLost(ctx context.Context, key Key, incarnation uint64) {
	r.mu.RLock()
	e := r.catalog.find(key)
	if e == nil || e.in.Incarnation != incarnation || !r.provable(e.in) {
		r.mu.RUnlock()
		return // replaced by a newer one: none of its business
	}
	s := probed{e, e.in, e.deadline}
	r.mu.RUnlock()
	if !r.prove(ctx, s) {
		return
	}
	for _, pause := range again {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		r.mu.RLock()
		same := r.catalog.find(key) == s.entry && s.entry.in == s.instance && s.entry.deadline == s.deadline
		r.mu.RUnlock()
		if !same || !r.prove(ctx, s) {
			return // it was heard of since, or is dead, or out of reach
		}
	}
}

// provable says whether a refused connection proves anything: who serves UDP
// refuses TCP for all his life.
func (r *Registry) provable(in *Instance) bool {
	return !r.settings().Guard.NoProbe && strings.HasSuffix(in.Service, "._tcp")
}

// prove removes s if it refuses a connection and nothing was heard of it since.
// It says whether its port may only be about to close.
func (r *Registry) prove(ctx context.Context, s probed) (open bool) {
	select {
	case r.probes <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	pctx, cancel := context.WithTimeout(ctx, r.settings().Guard.ProbeTimeout)
	err := r.settings().Probe(pctx, s.instance.HostPort())
	cancel()
	<-r.probes
	// A host resets a connection to a closed port (RFC 9293 section 3.10.7.1). A
	// timeout or an unreachable net may well be ours.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		var silent net.Error // the clock of the context or of the socket, whichever was first
		return err == nil || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &silent) && silent.Timeout()
	}
	removed, kept := false, false
	err = r.submit(ctx, &op{unstored: true, decide: func(p *plan) error {
		removed, kept = false, false
		in, e := p.find(s.instance.Key)
		if in == nil || e != s.entry || p.touched(in.Key) || in.Incarnation != s.instance.Incarnation ||
			in.HostPort() != s.instance.HostPort() || in.State != Suspect && e.deadline != s.deadline {
			return nil
		}
		if !p.refuses(in, e) { // it is asked again
			kept = true
			if in.State != Suspect && in.State != Drained {
				p.put(in, in.with(Suspect), e, holdLease)
			}
			return nil
		}
		p.refused++
		p.remove(in, e, loseLease)
		removed = true
		return nil
	}})
	switch {
	case err != nil:
	case removed:
		r.stats.proven.Add(1)
		r.settings().Logger.Info("registry: removed, it refuses connections", "instance", s.instance.Key.String(), "host", s.instance.HostPort())
	case kept:
		r.settings().Logger.Warn("registry: refuses connections, and is held back as a suspect, because too many do at once", "instance", s.instance.Key.String(), "host", s.instance.HostPort())
	}
	return false
}
