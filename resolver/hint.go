package resolver

import "time"

// firstPace is the distance of the first question after a hint from the last one
// before it: about as long as a server needs to start again. It doubles from one
// to the next, so that with a MinTTL of 1s a hint costs five questions. Only a hint
// that follows on news begins anew: while each answer differs from the last and
// connections fail all the time, that makes twenty questions a second.
const firstPace = 50 * time.Millisecond

// hint is what callers of Refresh want: the name asked for sooner than it is due.
type hint struct {
	pace time.Duration // from the last question to the next; 0: nothing is wanted
	news bool          // the state changed since the hint
}

// given takes a hint, and tells whether it changes anything.
func (h *hint) given() bool {
	if h.pace > 0 && !h.news {
		return false
	}
	*h = hint{pace: firstPace}
	return true
}

func (h *hint) pending() bool { return h.pace > 0 }

// asked notes that a question begins. The hint is over when the next would not
// come sooner than the TTL could allow.
func (h *hint) asked(minTTL time.Duration) {
	if h.pace *= 2; h.pace >= minTTL {
		h.pace = 0
	}
}

// paceLocked is the time from the last answer or failure to the next question
// after a hint. Servers that fail are not asked faster for it.
func (r *Resolver) paceLocked(e *entry) time.Duration {
	if e.failures > 0 {
		return r.minTTL()
	}
	return min(e.hint.pace, r.minTTL())
}
