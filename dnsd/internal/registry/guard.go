package registry

import (
	"slices"
	"sort"
	"time"
)

// hold is a suspect's time under the guard.
type hold struct {
	since time.Duration // in lease time
	over  bool          // released by an operator
}

// window is what the guard knows when a lease ends.
type window struct {
	size int  // of the service, the one judged included
	lost int  // expired unproven in the last lease
	deaf bool // nobody was heard in the last lease
}

// holds says whether the guard holds back an instance whose lease ended. Some
// may go in each lease without proof, or a registry would collect the dead; when
// many go silent together, or all, the silence is more likely ours.
func (g *Guard) holds(w window) bool {
	if g.Off {
		return false
	}
	if w.deaf {
		return true
	}
	before := w.size + w.lost
	return before >= g.Min && w.lost >= max(1, before*g.Percent/100)
}

// end of a hold that began at since.
func (g *Guard) end(since, lease time.Duration) time.Duration {
	// A lease of a day would make ten days of it.
	if hold := time.Duration(g.HoldLeases) * lease; hold < g.HoldMax {
		return since + hold
	}
	return since + g.HoldMax
}

// deafLocked says whether nobody was heard for a lease. The silence of fewer
// than the guard's minimum proves nothing about us.
func (r *Registry) deafLocked(now, lease time.Duration) bool {
	return r.catalog.instances >= r.settings().Guard.Min && r.heard <= now-lease
}

// holdLocked lets a suspect go on for another lease, or until its hold ends.
func (r *Registry) holdLocked(e *entry, now time.Duration) {
	h, ok := r.holds[e]
	if !ok {
		h.since = now
		r.holds[e] = h
		r.stats.held.Add(1)
	}
	r.catalog.extend(e, max(min(now+e.in.Lease, r.settings().Guard.end(h.since, e.in.Lease)), now+tick))
}

// ReleaseGuard ends the hold of a service's suspects ("": of all): they are
// removed at once. Those whose lease ends later are judged anew.
func (r *Registry) ReleaseGuard(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.read()
	for e, h := range r.holds {
		if service == "" || service == e.service.name {
			h.over = true
			r.holds[e] = h
			r.catalog.extend(e, now)
		}
	}
}

// lostSince counts the instances that expired unproven after t.
func (s *service) lostSince(t time.Duration) int {
	return len(s.lost) - sort.Search(len(s.lost), func(i int) bool { return s.lost[i] > t })
}

// lose remembers that an instance expired unproven.
func (s *service) lose(now time.Duration) {
	if len(s.lost) >= 16 && len(s.lost) == cap(s.lost) { // before it grows: what no window reaches any more
		var longest time.Duration
		for _, e := range s.entries {
			longest = max(longest, e.in.Lease)
		}
		s.lost = slices.Delete(s.lost, 0, len(s.lost)-s.lostSince(now-longest))
	}
	s.lost = append(s.lost, now)
}
