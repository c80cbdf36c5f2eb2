package resolver

import "time"

// news is a change that a session told. After the session is lost, a cache may give an answer
// that is older, and would bring back an instance that is gone.
type news struct {
	at    time.Time     // when it came; zero: there was none
	ttl   time.Duration // of the set before it and after it, the longer one: until then a cache may have the one before
	found bool          // at a server that was discovered: the others have caches
}

// ttlRounding is the most by which the TTL of an answer, in whole seconds, differs from the
// time that is left, in the one or the other direction.
const ttlRounding = time.Second

// outdates reports whether an answer of DNS may be older than the change. A cache counts the
// TTL down, so what is left of it tells when the cache asked. Where that cannot be known, the
// change counts until the TTL is over.
func (n *news) outdates(out outcome, now time.Time, longest time.Duration) bool {
	switch {
	case n.at.IsZero(), !out.cached && !n.found, now.Sub(n.at) >= n.ttl:
		return false
	case out.ttl > n.ttl, n.ttl >= longest, len(out.endpoints) == 0: // another TTL, a shortened one, or that of a SOA
		return true
	}
	age := n.ttl - out.ttl
	return now.Add(-age).Before(n.at.Add(ttlRounding))
}

// keepToldLocked leaves the state as it was told, since an answer may be older, and plans the
// next question.
func (r *Resolver) keepToldLocked(e *entry, out outcome) {
	now := time.Now()
	e.last, e.lastWall, e.failures = now, r.wallNow(), 0
	until := max(e.push.news.at.Add(e.push.news.ttl).Sub(now), r.minTTL())
	e.wait = min(until, r.spreadLocked(out.ttl*refreshFrom/100, out.ttl))
	e.ready = true
	close(e.changed)
	e.changed = make(chan struct{})
	e.wake()
}

// Tests: pushnews_test.go.
