package resolver

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// entry is all that one Resolver holds about one name: its state, the query in
// flight, and the loop that keeps it fresh while it is watched. Resolver.mu
// guards it.
type entry struct {
	name    string
	state   State
	version uint64        // of state; 0: never asked
	changed chan struct{} // closed when version or ready changes

	last     time.Time     // when the last answer or failure came
	lastWall time.Time     // the same on the wall
	wait     time.Duration // from last to the next time to ask
	vouched  bool          // last was an answer
	partial  bool          // of which a part is missing
	failures int           // since the last answer
	nothing  int           // answers since the last one with endpoints
	full     int           // endpoints when the set was last Confirmed
	shrunk   time.Time     // since when the set is not half of that; zero: it is
	hint     hint          // what Refresh asked for

	flight *flight
	memory memory // the flight's own while there is one

	watchers int
	ready    bool          // state may be shown to watchers: it is kept fresh
	kick     chan struct{} // wakes the loop to plan anew
	stop     context.CancelFunc
	stopped  chan struct{}
}

// flight is one resolution under way and those who wait for it.
type flight struct {
	done      chan struct{}
	cancel    context.CancelFunc
	waiters   int
	abandoned bool // the last waiter has left: the result is discarded
}

// maxNames bounds the names cached; those watched or being asked for are kept
// whatever their number.
const maxNames = 4096

func (r *Resolver) entryLocked(name string) *entry {
	if e := r.names[name]; e != nil {
		return e
	}
	if r.names == nil {
		r.names = map[string]*entry{}
	}
	if len(r.names) >= maxNames {
		r.evictLocked()
	}
	e := &entry{name: name, changed: make(chan struct{}), kick: make(chan struct{}, 1)}
	r.names[name] = e
	return e
}

// evictLocked makes room: names whose answer has expired, else any that nobody
// watches.
func (r *Resolver) evictLocked() {
	idle := func(e *entry) bool { return e.watchers == 0 && e.flight == nil }
	for name, e := range r.names {
		if idle(e) && !r.currentLocked(e) {
			delete(r.names, name)
		}
	}
	for name, e := range r.names {
		if len(r.names) < maxNames {
			return
		}
		if idle(e) {
			delete(r.names, name)
		}
	}
}

// sinceLocked is the time since the last answer or failure, by the clock that
// went further: the monotonic one stands still while a machine sleeps, the one on
// the wall may be set back. Too early a query is the harmless error.
func (r *Resolver) sinceLocked(e *entry) time.Duration {
	return max(time.Since(e.last), r.wallNow().Sub(e.lastWall))
}

// dueLocked is the time until the name should be asked for again.
func (r *Resolver) dueLocked(e *entry) time.Duration {
	if e.version == 0 {
		return 0
	}
	due := e.wait - r.sinceLocked(e)
	if e.hint.pending() && e.failures == 0 { // servers that fail are not asked faster for it
		due = min(due, time.Until(e.hint.next))
	}
	return due
}

// currentLocked tells whether the state may be used without asking.
func (r *Resolver) currentLocked(e *entry) bool {
	switch {
	case e.version == 0:
		return false
	case e.hint.pending() && r.dueLocked(e) <= 0:
		return false
	case e.watchers > 0 && e.ready:
		return true // its loop sees to it
	case e.vouched && !e.partial:
		return r.sinceLocked(e) < e.state.TTL
	}
	return r.sinceLocked(e) < e.wait // not sooner than the loop would
}

// usableLocked tells whether the endpoints may be used when nobody confirms them.
// The clock on the wall has no say: a jump must not take away what works.
func (r *Resolver) usableLocked(e *entry) bool {
	return len(e.state.Endpoints) > 0 && time.Since(e.state.Confirmed) < e.state.TTL+r.staleFor()
}

// fly waits for an answer to a question that begins now or is under way. It is
// false when ctx ended before.
func (r *Resolver) fly(ctx context.Context, e *entry) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		r.mu.Lock()
		f := e.flight
		if f == nil {
			f = r.startLocked(ctx, e)
		}
		abandoned := f.abandoned
		if !abandoned {
			f.waiters++
		}
		r.mu.Unlock()
		select {
		case <-f.done:
			if abandoned {
				continue // that one told nothing
			}
			return true
		case <-ctx.Done():
		}
		if !abandoned {
			r.mu.Lock()
			if f.waiters--; f.waiters == 0 {
				f.abandoned = true
				f.cancel()
			}
			r.mu.Unlock()
		}
		return false
	}
}

// startLocked begins a resolution, which lives as long as anybody waits for it.
func (r *Resolver) startLocked(ctx context.Context, e *entry) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel}
	e.flight = f
	e.memory.failures = e.failures
	e.hint.asked(time.Now(), max(e.state.TTL, r.minTTL()), r.randomLocked())
	var last []Endpoint
	if r.usableLocked(e) {
		last = e.state.Endpoints
	}
	go func() {
		defer close(f.done)
		defer cancel()
		out := r.resolve(ctx, e.name, last, &e.memory)
		r.mu.Lock()
		defer r.mu.Unlock()
		e.flight = nil
		if !f.abandoned {
			r.applyLocked(e, out)
		}
	}()
	return f
}

// applyLocked is the only place that changes a state, wherever the news come
// from, and that plans the next time to ask.
func (r *Resolver) applyLocked(e *entry, out outcome) {
	e.last, e.lastWall, e.vouched, e.partial = time.Now(), r.wallNow(), out.vouched, out.again > 0
	next := State{Endpoints: out.endpoints, Confirmed: e.last, TTL: out.ttl, Err: out.err}
	if out.vouched {
		e.failures = 0
		e.wait = r.spreadLocked(out.ttl*refreshFrom/100, out.ttl)
		if e.nothing++; len(out.endpoints) > 0 {
			e.nothing = 0
		} else if e.nothing > 1 { // still: it may stay so for ever
			e.wait = max(e.wait, r.pauseLocked(e.nothing-1, patienceForNothing))
		}
		if out.again > 0 {
			e.wait = min(e.wait, out.again)
		}
		next.Trust = e.weigh(out)
	} else {
		e.failures++
		e.wait = r.retryLocked(e)
		next.Confirmed, next.TTL, next.Trust = e.state.Confirmed, e.state.TTL, Unanswered
		if r.usableLocked(e) {
			next.Endpoints, next.Trust = e.state.Endpoints, Stale
		}
	}
	if !slices.EqualFunc(e.state.Endpoints, next.Endpoints, Endpoint.equal) {
		e.hint.news = true
	}
	if e.version == 0 || !e.state.sameNews(next) {
		r.tell(e.state, next, e.name)
		e.version++
	} else {
		next.Endpoints, next.Err = e.state.Endpoints, e.state.Err
	}
	e.state, e.ready = next, true
	close(e.changed)
	e.changed = make(chan struct{})
	e.wake()
}

// settled is how long a set stays Shrunk: longer than any server that registers
// itself waits before it does so again.
const settled = 5 * time.Minute

// weigh tells whether an answer, which was confirmed, leaves so little of the set
// that it needs another explanation than deletions.
func (e *entry) weigh(out outcome) Trust {
	n := len(out.endpoints)
	switch meant := errors.Is(out.err, ErrNotOffered); {
	case !meant && 2*n < e.full && e.shrunk.IsZero():
		e.shrunk = e.last
		return Shrunk
	case !meant && 2*n < e.full && e.last.Sub(e.shrunk) < settled:
		return Shrunk
	}
	e.full, e.shrunk = n, time.Time{}
	return Confirmed
}

// patienceForNothing is the longest pause, unless a TTL is longer, while there are no
// endpoints: as long as that of a name with the default TTL of a registration.
const patienceForNothing = 5 * time.Second

// retryLocked is the pause after a failure. It ends at two TTLs, with two packets for
// each question (a light way): no server hears more of us dead than alive. Without
// endpoints there is no rate to compare with, and more to win.
func (r *Resolver) retryLocked(e *entry) time.Duration {
	limit := patienceForNothing
	if r.usableLocked(e) {
		limit = max(2*e.state.TTL, limit)
	}
	return r.pauseLocked(e.failures, limit)
}

// pauseLocked is the pause after so many failures in a row: from MinTTL, doubling,
// up to limit, and never all of it fixed, or those who failed together would come
// back together: the first is spread over a whole MinTTL, the last as a TTL is.
func (r *Resolver) pauseLocked(failures int, limit time.Duration) time.Duration {
	const doubled = 16 // enough to pass any limit
	to := r.minTTL() << min(failures, doubled)
	from := to / 2
	if to > limit {
		from, to = max(limit*refreshFrom/100, r.minTTL()), limit
	}
	return r.spreadLocked(from, max(to, from*5/4))
}

func (r *Resolver) pause(failures int, limit time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pauseLocked(failures, limit)
}

// spreadLocked is a random time between two.
func (r *Resolver) spreadLocked(from, to time.Duration) time.Duration {
	return from + time.Duration(float64(to-from)*r.randomLocked()())
}

func (r *Resolver) randomLocked() func() float64 {
	if r.Rand != nil {
		return r.Rand.Float64
	}
	return rand.Float64
}

// tell logs what a program may want to hear once and not at each query.
func (r *Resolver) tell(was, is State, name string) {
	switch {
	case is.Err == nil && was.Err != nil:
		r.log().Info("resolver: answered again", "name", name, "endpoints", len(is.Endpoints))
	case is.Err != nil && len(is.Endpoints) > 0 && was.Err == nil:
		r.log().Warn("resolver: using stale endpoints", "name", name, "endpoints", len(is.Endpoints), "error", is.Err)
	case is.Err != nil && len(is.Endpoints) == 0 && len(was.Endpoints) > 0:
		r.log().Warn("resolver: no endpoints left", "name", name, "error", is.Err)
	}
}

// wake makes the loop plan anew.
func (e *entry) wake() {
	select {
	case e.kick <- struct{}{}:
	default: // it will anyway
	}
}
