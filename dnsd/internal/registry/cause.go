package registry

import (
	"slices"
	"time"
)

// Cause is why a change was made. It is for people: it is not stored, and not sent to other
// dnsd.
type Cause uint8

// The causes.
const (
	Asked    Cause = iota // a request asked for it
	Followed              // the writer decided it, and does not say why
	Silent                // the lease ended
	Quiet                 // the reprieve ended without a renewal
	Freed                 // an operator released the guard
	Refused               // the instance refused a connection
	Crowd                 // the lease ended; too many of the service are silent, so the guard keeps it
	Deaf                  // the lease ended; no instance renews, so the guard keeps it
	Trial                 // the lease ended; the service is too small for a share, so it is probed first
	TooMany               // it refused a connection, and is kept because too many refuse at once
	Ranked                // other instances of its service changed
	Restored              // it is from a snapshot, or from another registry
)

// because notes the cause of the last step.
func (p *plan) because(c Cause) { p.steps[len(p.steps)-1].Cause = c }

// LateSink is a Sink that is told of late renewals, too: of those that come in the last
// quarter of a lease. Clients renew after each third of it, so two heartbeats were missed.
// The renewal of a suspect is a change, and not told here.
type LateSink interface {
	Sink
	// Late gets the instance and what was left of its lease. It must be quick, and must not
	// call the registry. At most mostLate renewals a second are told.
	Late(in *Instance, left time.Duration)
}

const (
	// latePart is the part of a lease in which a renewal is late: a quarter.
	latePart = 4
	// mostLate bounds what is told in a second: a client may renew late every time.
	mostLate = 16
)

// lateness tells late renewals. Its fields are guarded by the registry's mu.
type lateness struct {
	sinks  []LateSink
	second time.Duration // lease time at which the current second began
	told   int           // in it
}

// lateLocked notes a renewal of e at now that was late.
func (r *Registry) lateLocked(e *entry, now time.Duration) {
	r.stats.late.Add(1)
	l := &r.late
	if now-l.second >= time.Second {
		l.second, l.told = now, 0
	}
	if l.told >= mostLate {
		return
	}
	l.told++
	for _, s := range l.sinks {
		s.Late(e.in, max(0, e.deadline-now))
	}
}

// tellLate tells s, or no longer tells it, of late renewals, if it is a LateSink.
func (r *Registry) tellLate(s Sink, on bool) {
	l, ok := s.(LateSink)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.late.sinks = append(r.late.sinks, l)
	} else if i := slices.Index(r.late.sinks, l); i >= 0 {
		r.late.sinks = slices.Delete(r.late.sinks, i, i+1)
	}
}
