package registry

import (
	"context"
	"slices"
	"sort"
	"time"
)

// reprieve is the time that the guard gives a suspect.
type reprieve struct {
	since time.Duration // in lease time
	over  bool          // an operator released the guard
	trial bool          // for one lease only, because the service is too small to be guarded
}

// ended says whether the reprieve has ended.
func (p reprieve) ended(g *Guard, now, lease time.Duration) bool {
	switch {
	case p.over, g.Off:
		return true
	case p.trial:
		return now >= p.since+lease
	}
	return now >= g.end(p.since, lease)
}

// window is what the guard knows when a lease ends.
type window struct {
	size int  // of the service, with the instance that is judged
	lost int  // instances of the service that were lost in the last lease
	deaf bool // no instance was heard, although several should have renewed
}

// reprieves says whether the guard reprieves an instance whose lease ended. A share of a
// service may be removed in each lease without proof, or dead instances would pile up.
// When more go silent together, or all do, the fault is more likely on our side.
func (g *Guard) reprieves(w window) bool {
	if g.Off {
		return false
	}
	return w.deaf || !g.small(w) && w.lost >= g.share(w)
}

// small says whether a service has too few instances for a share of them.
func (g *Guard) small(w window) bool { return w.size+w.lost < guardMin }

// share is how many instances of a service may be removed in one lease.
func (g *Guard) share(w window) int { return max(1, (w.size+w.lost)*g.Percent/100) }

// end returns the end of a reprieve that began at since.
func (g *Guard) end(since, lease time.Duration) time.Duration {
	// Max bounds it: with a lease of a day it would be ten days.
	if leases := time.Duration(g.Leases) * lease; leases < g.Max {
		return since + leases
	}
	return since + g.Max
}

// window returns what the guard knows about the service of in.
func (p *plan) window(in *Instance, e *entry) window {
	return window{
		size: p.size(in.Service),
		lost: e.service.lost.since(p.now-in.Lease) + p.tallies[in.Service].lost,
	}
}

// deaf says whether the silence of e is likely a fault on our side: no instance at all
// was heard since e should have renewed, although others should have renewed too. The
// silence of fewer instances than the guard's minimum says nothing about us.
func (p *plan) deaf(e *entry) bool {
	r := p.r
	if r.heard >= r.dueLocked(e) || r.catalog.instances < guardMin {
		return false
	}
	if p.overdue < 0 {
		p.overdue = 0
		for _, s := range r.catalog.services {
			for _, e := range s.entries {
				if at := r.dueLocked(e); r.heard < at && at <= p.now {
					p.overdue++
				}
			}
			if p.overdue >= guardMin {
				break
			}
		}
	}
	return p.overdue >= guardMin
}

// dueLocked is the time by which e should have renewed. Servers are told to renew after a
// third of the lease, so after half of it they are late.
func (r *Registry) dueLocked(e *entry) time.Duration {
	end := e.deadline
	if p, ok := r.reprieves[e]; ok {
		end = p.since // which is when the lease ended
	}
	return end - e.in.Lease/2
}

// reprieveLocked lets a suspect go on for another lease, or until its reprieve ends.
func (r *Registry) reprieveLocked(e *entry, now time.Duration, trial bool) {
	p, ok := r.reprieves[e]
	if !ok {
		p.since = now
		r.stats.reprieved.Add(1)
	}
	p.trial = trial
	r.reprieves[e] = p
	r.catalog.extend(e, max(min(now+e.in.Lease, r.settings().Guard.end(p.since, e.in.Lease)), now+tick))
}

// ReleaseGuard ends the reprieve of the suspects of a service ("": of all services). Run
// removes them at once. Instances whose lease ends later are judged as usual. The
// receipt counts the suspects.
//
// Errors: ErrNotWriter.
func (r *Registry) ReleaseGuard(_ context.Context, service string) (Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mayLocked() {
		return Receipt{}, ErrNotWriter
	}
	now := r.clock.read()
	done := Receipt{Revision: r.revision}
	for e, p := range r.reprieves {
		if service == "" || service == e.service.name {
			p.over = true
			r.reprieves[e] = p
			r.catalog.extend(e, now)
			done.Did = Released
			done.Count++
		}
	}
	return done, nil
}

// losses are the times at which instances were lost: removed after silence or because
// they refused a connection.
type losses []time.Duration

// since counts the losses after t.
func (l losses) since(t time.Duration) int {
	return len(l) - sort.Search(len(l), func(i int) bool { return l[i] > t })
}

// lose notes that an instance was lost.
func (s *service) lose(now time.Duration) {
	if len(s.lost) >= 16 && len(s.lost) == cap(s.lost) { // drop losses older than any window, before the slice grows
		var longest time.Duration
		for _, e := range s.entries {
			longest = max(longest, e.in.Lease)
		}
		s.lost = slices.Delete(s.lost, 0, len(s.lost)-s.lost.since(now-longest))
	}
	s.lost = append(s.lost, now)
}

const (
	fewRefusals  = 16   // so many instances may refuse in a lease, however small the registry
	mostRefusals = 8192 // that are remembered; a long lease may have more
)

// refuses says whether in, which refuses connections, may be removed. A firewall that
// resets connections looks like the hosts that it protects. So in each lease no more is
// removed than the guard's share of the service, and no more than its share of all
// instances: most of them may be in services that are too small for a share.
func (p *plan) refuses(in *Instance, e *entry) bool {
	guard := &p.r.settings().Guard
	if guard.Off {
		return true
	}
	all := window{size: p.total, lost: p.r.refused.since(p.now-in.Lease) + p.refused}
	if all.lost >= max(fewRefusals, guard.share(all)) {
		return false
	}
	w := p.window(in, e)
	return guard.small(w) || w.lost < guard.share(w)
}

// noteRefusedLocked notes that n instances were removed because they refused.
func (r *Registry) noteRefusedLocked(n int, now time.Duration) {
	for range n {
		r.refused = append(r.refused, now)
	}
	if len(r.refused) > mostRefusals {
		r.refused = slices.Delete(r.refused, 0, len(r.refused)-mostRefusals/2)
	}
}
