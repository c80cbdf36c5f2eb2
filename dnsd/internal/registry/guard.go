package registry

import (
	"slices"
	"sort"
	"time"
)

// reprieve is the time that the guard gives a suspect.
type reprieve struct {
	since time.Duration // in lease time
	over  bool          // released by an operator
	trial bool          // it is of a service too small to be guarded: one lease, and it goes
}

// ended says whether a suspect goes now.
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
	size int  // of the service, the one judged included
	lost int  // gone in the last lease, by silence or refusal
	deaf bool // nobody was heard although several should have been
}

// reprieves says whether the guard reprieves an instance whose lease ended. Some
// may go in each lease without proof, or a registry would collect the dead; when
// many go silent together, or all, the silence is more likely ours.
func (g *Guard) reprieves(w window) bool {
	if g.Off {
		return false
	}
	return w.deaf || !g.small(w) && w.lost >= g.share(w)
}

// small says whether a service has too few instances for a share of them.
func (g *Guard) small(w window) bool { return w.size+w.lost < g.Min }

// share is how many of a service may go in one lease.
func (g *Guard) share(w window) int { return max(1, (w.size+w.lost)*g.Percent/100) }

// end of a reprieve that began at since.
func (g *Guard) end(since, lease time.Duration) time.Duration {
	// A lease of a day would make ten days of it.
	if leases := time.Duration(g.Leases) * lease; leases < g.Max {
		return since + leases
	}
	return since + g.Max
}

// window around an instance.
func (p *plan) window(in *Instance, e *entry) window {
	return window{
		size: p.size(in.Service),
		lost: e.service.lost.since(p.now-in.Lease) + p.tallies[in.Service].lost,
	}
}

// deaf says whether the silence of in is likely ours: nobody at all was heard
// since it should have renewed, although others should have been. The silence of
// fewer than the guard's minimum proves nothing about us.
func (p *plan) deaf(e *entry) bool {
	r := p.r
	least := r.settings().Guard.Min
	if r.heard >= r.dueLocked(e) || r.catalog.instances < least {
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
			if p.overdue >= least {
				break
			}
		}
	}
	return p.overdue >= least
}

// dueLocked is when e should have been heard again at the latest: servers are told
// to renew after a third of the lease, so that half of it is late.
func (r *Registry) dueLocked(e *entry) time.Duration {
	end := e.deadline
	if p, ok := r.reprieves[e]; ok {
		end = p.since // when its own lease ended
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

// ReleaseGuard ends the reprieve of a service's suspects ("": of all): they are
// removed at once. Those whose lease ends later are judged anew. The receipt counts
// the suspects.
func (r *Registry) ReleaseGuard(service string) Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
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
	return done
}

// losses are the times at which instances went, by silence or refusal.
type losses []time.Duration

// since counts those after t.
func (l losses) since(t time.Duration) int {
	return len(l) - sort.Search(len(l), func(i int) bool { return l[i] > t })
}

// lose remembers that an instance went.
func (s *service) lose(now time.Duration) {
	if len(s.lost) >= 16 && len(s.lost) == cap(s.lost) { // before it grows: what no window reaches any more
		var longest time.Duration
		for _, e := range s.entries {
			longest = max(longest, e.in.Lease)
		}
		s.lost = slices.Delete(s.lost, 0, len(s.lost)-s.lost.since(now-longest))
	}
	s.lost = append(s.lost, now)
}

const (
	fewRefusals  = 16   // that many of all may refuse in a lease, however small the registry
	mostRefusals = 8192 // remembered: the window of a long lease may be cut short
)

// refuses says whether the death of in, which refuses connections, is believed. A
// firewall that resets looks like the hosts behind it: so no more than the guard's
// share goes in a lease, of its service and of all, where most may be in services
// that are too small for a share.
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

// noteRefusedLocked remembers n of them.
func (r *Registry) noteRefusedLocked(n int, now time.Duration) {
	for range n {
		r.refused = append(r.refused, now)
	}
	if len(r.refused) > mostRefusals {
		r.refused = slices.Delete(r.refused, 0, len(r.refused)-mostRefusals/2)
	}
}
