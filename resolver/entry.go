package resolver

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// entry is what one Resolver knows about one name: its state, the resolution that is
// under way, and the loop that keeps it fresh while it is watched. Resolver.mu guards it.
type entry struct {
	name    string
	state   State
	version uint64        // of state; 0: never asked
	changed chan struct{} // closed when version or ready changes

	last     time.Time     // when the last answer or failure came
	lastWall time.Time     // the same by the wall clock
	wait     time.Duration // from last to the next time to ask
	vouched  bool          // at last an answer came, not a failure
	partial  bool          // a part of that answer is missing
	failures int           // since the last answer
	nothing  int           // answers since the last one with endpoints
	full     int           // how many endpoints the set had when it was last Confirmed
	shrunk   time.Time     // since when the set has less than half of full; zero: it has not
	hint     hint          // what Refresh asked for

	push   pushState
	flight *flight
	memory memory // only the flight uses it while there is one

	watchers int
	ready    bool          // watchers may see state: it is kept fresh
	kick     chan struct{} // wakes the loop, to look again when it must ask
	stop     context.CancelFunc
	stopped  chan struct{}
}

// flight is one resolution under way, and the calls that wait for it.
type flight struct {
	done      chan struct{}
	cancel    context.CancelFunc
	waiters   int
	byDNS     bool                    // it asks servers
	hurry     context.CancelCauseFunc // ends the questions for targets that are not in the set
	abandoned bool                    // its result is discarded
}

// abandonLocked ends a resolution early: no call waits for it, or there is something better.
// Calls that still wait get another one.
func (f *flight) abandonLocked() {
	f.abandoned = true
	f.cancel()
}

// maxNames bounds the names in the cache. Names that are watched or being asked for stay
// in it, whatever their number.
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

// evictLocked makes room: it deletes names whose answer has expired, and then others that
// are not watched.
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

// sinceLocked is the time since the last answer or failure, by the clock that went
// further: the monotonic clock does not run while a machine sleeps, and the wall clock
// may be set back. A query that comes too early does no harm.
func (r *Resolver) sinceLocked(e *entry) time.Duration {
	return max(time.Since(e.last), r.wallNow().Sub(e.lastWall))
}

// dueLocked is the time until the name should be asked for again.
func (r *Resolver) dueLocked(e *entry) time.Duration {
	if e.version == 0 {
		return 0
	}
	due := e.wait - r.sinceLocked(e)
	if e.push.follow != nil {
		due = r.dueFollowedLocked(e)
	}
	if e.hint.pending() && e.failures == 0 { // a hint does not hurry queries to servers that fail
		due = min(due, time.Until(e.hint.next))
	}
	return due
}

// currentLocked reports whether the state may be used without asking.
func (r *Resolver) currentLocked(e *entry) bool {
	switch {
	case e.version == 0:
		return false
	case e.hint.pending() && r.dueLocked(e) <= 0:
		return false
	case e.watchers > 0 && e.ready:
		return true // the loop keeps it fresh
	case e.vouched && !e.partial:
		return r.sinceLocked(e) < e.state.TTL
	}
	return r.sinceLocked(e) < e.wait // a Lookup does not ask sooner than the loop would
}

// currentState is the state as of now: while the server tells about changes, it confirms
// what it has not changed.
func (e *entry) currentState() State {
	s := e.state
	if e.push.follow.fresh() && e.vouched {
		s.Confirmed = time.Now()
	}
	return s
}

// usableLocked reports whether the endpoints may be used when no server confirms them. The
// wall clock is not looked at: if it jumps, endpoints that work must stay.
func (r *Resolver) usableLocked(e *entry) bool {
	return len(e.state.Endpoints) > 0 && time.Since(e.currentState().Confirmed) < e.state.TTL+r.staleFor()
}

// fly starts a resolution, or joins the one under way, and waits for its end. It is false
// if ctx ended before.
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
			r.mu.Lock()
			abandoned = f.abandoned
			r.mu.Unlock()
			if abandoned {
				continue
			}
			return true
		case <-ctx.Done():
		}
		if !abandoned {
			r.mu.Lock()
			if f.waiters--; f.waiters == 0 {
				f.abandonLocked()
			}
			r.mu.Unlock()
		}
		return false
	}
}

// startLocked begins a resolution, which lives as long as a call waits for it.
func (r *Resolver) startLocked(ctx context.Context, e *entry) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	asking, hurry := context.WithCancelCause(ctx)
	f := &flight{done: make(chan struct{}), cancel: cancel, hurry: hurry}
	e.flight = f
	e.memory.failures = e.failures
	t := r.taskLocked(e)
	if f.byDNS = t.byDNS(); f.byDNS {
		e.hint.asked(time.Now(), max(e.state.TTL, r.minTTL()), r.randomLocked())
	}
	var last []Endpoint
	if r.usableLocked(e) {
		last = e.state.Endpoints
	}
	go func() {
		defer close(f.done)
		defer cancel()
		defer hurry(nil)
		got := r.perform(ctx, asking, e.name, t, last, &e.memory)
		r.mu.Lock()
		defer r.mu.Unlock()
		e.flight = nil
		switch {
		case !f.abandoned:
			r.landLocked(e, t, got)
		case t.follow != nil && !t.check:
			t.follow.pending = true
		}
	}()
	return f
}

// applyLocked is the only function that changes a state. It also plans the next time to
// ask.
func (r *Resolver) applyLocked(e *entry, out outcome) {
	e.last, e.lastWall, e.vouched, e.partial = time.Now(), r.wallNow(), out.vouched, out.again > 0
	next := State{Endpoints: out.endpoints, Confirmed: e.last, TTL: out.ttl, Err: out.err}
	if out.vouched {
		e.failures = 0
		e.wait = r.spreadLocked(out.ttl*refreshFrom/100, out.ttl)
		if e.nothing++; len(out.endpoints) > 0 {
			e.nothing = 0
		} else if e.nothing > 1 { // again no endpoints: this may last for ever
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
		r.tellLocked(e.state, next, e.name)
		e.version++
	} else {
		next.Endpoints, next.Err = e.state.Endpoints, e.state.Err
	}
	e.state, e.ready = next, true
	close(e.changed)
	e.changed = make(chan struct{})
	e.wake()
}

// settled is how long a set stays Shrunk: longer than a server waits before it registers
// itself again.
const settled = 5 * time.Minute

// weigh is the trust in a confirmed answer: Shrunk if so little of the set is left that
// instances may not have been deleted but forgotten.
func (e *entry) weigh(out outcome) Trust {
	n := len(out.endpoints)
	switch meant := errors.Is(out.err, ErrNotOffered) || out.meant && e.shrunk.IsZero(); {
	case !meant && 2*n < e.full && e.shrunk.IsZero():
		e.shrunk = e.last
		return Shrunk
	case !meant && 2*n < e.full && e.last.Sub(e.shrunk) < settled:
		return Shrunk
	}
	e.full, e.shrunk = n, time.Time{}
	return Confirmed
}

// patienceForNothing is the longest pause while there are no endpoints, unless a TTL is
// longer: it is the default TTL of a registration.
const patienceForNothing = 5 * time.Second

// retryLocked is the pause after a failure. It grows up to 1.8 TTLs, at two packets for
// each question (see way.light): a server that is down gets about as many packets as one
// that is well, a tenth more. With the default TTL of 5 s, a client then asks and follows
// again within 10 s of the server's return. Without endpoints there is no such rate, and
// the pause is shorter.
func (r *Resolver) retryLocked(e *entry) time.Duration {
	limit := patienceForNothing
	if r.usableLocked(e) {
		limit = max(e.state.TTL*18/10, limit)
	}
	return r.pauseLocked(e.failures, limit)
}

// pauseLocked is the pause after so many failures in a row: it doubles from MinTTL up to
// limit. A part of it is random, so that clients that failed together do not come back
// together: the first pause is spread over a whole MinTTL, the last one as a TTL is.
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

// spreadLocked is a random time between from and to.
func (r *Resolver) spreadLocked(from, to time.Duration) time.Duration {
	return from + time.Duration(float64(to-from)*r.randomLocked()())
}

func (r *Resolver) randomLocked() func() float64 {
	if r.Rand != nil {
		return r.Rand.Float64
	}
	return rand.Float64
}

// tellLocked logs a change for the worse or the better once, not at each query.
func (r *Resolver) tellLocked(was, is State, name string) {
	switch {
	case is.Err == nil && was.Err != nil:
		r.logLocked(slog.LevelInfo, "resolver: answered again", "name", name, "endpoints", len(is.Endpoints))
	case is.Err != nil && len(is.Endpoints) > 0 && was.Err == nil:
		r.logLocked(slog.LevelWarn, "resolver: using stale endpoints", "name", name, "endpoints", len(is.Endpoints), "error", is.Err)
	case is.Err != nil && len(is.Endpoints) == 0 && len(was.Endpoints) > 0:
		r.logLocked(slog.LevelWarn, "resolver: no endpoints left", "name", name, "error", is.Err)
	}
}

// wake makes the loop look again when it must ask.
func (e *entry) wake() {
	select {
	case e.kick <- struct{}{}:
	default: // it is about to
	}
}
