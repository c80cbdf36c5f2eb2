package resolver

import (
	"context"
	"time"
)

const (
	// behindFor is how long a server may be behind a revision that was seen before, until what
	// it says is taken for the truth: a dnsd of several that reads the changes of the others
	// catches up sooner, unless its registry was started over or restored.
	behindFor = 5 * time.Second
	never     = time.Duration(1<<63 - 1)
	// refusedOften is how many refusals in a row are taken as the server says. After these it
	// is asked ever more seldom, up to once a minute: one that says a second each time would be
	// connected to each second.
	refusedOften = 6
	// hurryEvery is how often targets that are asked for are left for later because another
	// set has come. A set that changes all the time must not keep their addresses away.
	hurryEvery = 5 * time.Second
)

// pushState is what an entry knows of being followed. Resolver.mu guards it.
type pushState struct {
	server    string        // that answered last: there the name may be followed; "": none
	zone      *pushZone     // names the servers to use instead; nil: not discovered
	find      time.Time     // before this, none are looked for
	follow    *follow       // nil: the name is not followed
	revision  uint64        // of the last set that was applied, in any session
	refusedBy *pushServer   // does not tell about this name
	refused   time.Time     // until then
	refusals  int           // in a row
	sought    time.Time     // when servers were last asked because the session said that it is stale
	news      news          // the last change that a session told
	hurried   time.Time     // when targets that were asked for were left for later
	look      time.Duration // after this, addresses that are not in the set must be asked for; 0: all are in it
}

// follow is one name in one session. Resolver.mu guards what is in it, but set has its own
// lock.
type follow struct {
	e       *entry
	session *pushSession
	set     pushSet
	found   bool // at a server that was discovered: it answers no questions

	id       uint16    // 0: not asked for yet
	accepted bool      // only the reader of the session uses it
	pending  bool      // a set came that was not applied yet
	applied  bool      // a set of this session was applied: what comes then are changes
	revision uint64    // of the last set that came
	stale    bool      // the server cannot learn of changes
	behind   time.Time // since when the revisions are below that of the entry; zero: they are not
	since    time.Time // since when the entry is kept fresh by it
	doubted  time.Time // since when answers by DNS differ from it; zero: they do not
	recheck  time.Time // when DNS must be asked again for that reason
}

// fresh reports whether the name needs no questions.
func (f *follow) fresh() bool {
	return f != nil && f.applied && !f.stale && f.behind.IsZero() && !f.set.late()
}

// readyIn is the time until the set that came can be applied.
func (f *follow) readyIn(now time.Time) time.Duration {
	switch {
	case !f.pending:
		return never
	case f.behind.IsZero():
		return 0
	}
	return f.behind.Add(behindFor).Sub(now)
}

// Freshness is by what a name is kept fresh. A server that says that it is stale does not keep
// a name fresh by push: By is "ttl" then, and Trust of the State stays Confirmed.
type Freshness struct {
	// By is "push" if a server tells about changes, as they happen, and "ttl" if the name is
	// asked for again when its TTL ends. It is empty for a name without a Watch.
	By string
	// Server is the one that tells about changes, and the one that answered last otherwise.
	Server string
	// Revision is that of the set, as the server counts changes. 0: it has told none.
	Revision uint64
	// Since is when the server began to tell. It is zero if By is not "push".
	Since time.Time
	// Again is when a server is asked the next time to tell about changes. Until then the server
	// is left alone, and so are those that would be asked in its place: they do not know how,
	// have refused, or were lost. It is zero if none is left alone.
	Again time.Time
}

// Freshness tells by what the name is kept fresh, for debug pages.
func (r *Resolver) Freshness(name string) Freshness {
	key, err := canonicalName(name)
	if err != nil {
		return Freshness{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.names[key]
	switch {
	case e == nil || e.watchers == 0:
		return Freshness{}
	case e.push.follow.fresh():
		f := e.push.follow
		return Freshness{By: "push", Server: f.session.server.address, Revision: e.push.revision, Since: f.since}
	}
	return Freshness{By: "ttl", Server: e.push.server, Again: r.againLocked(&e.push)}
}

// againLocked is when followLocked asks the first server to tell about the name; zero: it
// leaves none alone.
func (r *Resolver) againLocked(p *pushState) (again time.Time) {
	if r.NoPush || p.follow != nil {
		return again
	}
	own := r.pushServers[pushKey(p.server, r.TLS)]
	if own == nil {
		return again
	}
	alone := p.aloneFor(own)
	if own.hopeless() {
		for _, other := range p.discovered() {
			alone = min(alone, p.aloneFor(other))
		}
	}
	if alone > 0 {
		again = time.Now().Add(alone)
	}
	return again
}

// followLocked sees to it that a watched name is followed at the server that answered, and
// returns the time until it must be called again.
func (r *Resolver) followLocked(ctx context.Context, e *entry) time.Duration {
	p := &e.push
	if r.NoPush || e.watchers == 0 || p.follow != nil || p.server == "" {
		return never
	}
	server, wait := r.pushServerLocked(p.server, r.TLS), time.Duration(0)
	found := false
	if wait = p.aloneFor(server); wait > 0 && server.hopeless() {
		r.findLocked(ctx, e)
		for _, other := range p.discovered() {
			if alone := p.aloneFor(other); alone < wait {
				server, wait, found = other, alone, true
			}
		}
	}
	if wait > 0 {
		return wait
	}
	s := r.sessionLocked(ctx, server)
	if len(s.follows) >= maxFollows {
		return never
	}
	p.follow = &follow{e: e, session: s, found: found, set: pushSet{name: e.name, most: r.maxEndpoints() * maxPushRecords}}
	s.follows[p.follow] = true
	if s.open {
		s.askLocked(p.follow)
	}
	return never
}

// discovered returns the servers of push that the zone of the name names.
func (p *pushState) discovered() []*pushServer {
	if p.zone == nil {
		return nil
	}
	return p.zone.servers
}

// aloneFor is the time for which a server is not asked to tell about the name.
func (p *pushState) aloneFor(server *pushServer) time.Duration {
	wait := time.Until(server.until)
	if server == p.refusedBy {
		wait = max(wait, time.Until(p.refused))
	}
	return max(wait, 0)
}

// unfollowLocked ends the following of a name that is not watched any more. If it was the
// last one in its session, that ends, too, and ended is closed when it has.
func (r *Resolver) unfollowLocked(e *entry) (ended <-chan struct{}) {
	f := e.push.follow
	if f == nil {
		return nil
	}
	e.vouchedUntilNow(r, f)
	e.push.follow = nil
	return f.session.dropLocked(f)
}

// refusedLocked notes that the server of a session does not tell about a name for some time.
func (r *Resolver) refusedLocked(f *follow, delay time.Duration) {
	e := f.e
	if e.push.follow != f {
		return
	}
	if e.push.refusals++; e.push.refusals > refusedOften {
		longest := min(leastDelay<<min(e.push.refusals-refusedOften, doubled), maxPushBackoff)
		delay = max(delay, r.spreadLocked(longest/2, longest))
	}
	e.push.refusedBy, e.push.refused = f.session.server, time.Now().Add(delay)
	e.lostLocked(r, f)
	f.session.dropLocked(f)
}

// dropLocked takes a name out of the session. Without names the session ends: then the
// result is closed when it has, unless it was only about to begin.
func (s *pushSession) dropLocked(f *follow) (ended <-chan struct{}) {
	delete(s.follows, f)
	if len(s.follows) > 0 {
		s.unfollowLocked(f)
		return nil
	}
	s.endLocked(errLeft)
	if !s.open {
		return nil // a dialler that is slow must not keep a Watch from ending
	}
	return s.done
}

// vouchedUntilNow notes that up to now the server has told each change: the state is as good
// as one that was just confirmed.
func (e *entry) vouchedUntilNow(r *Resolver, f *follow) {
	if f.fresh() {
		e.last, e.lastWall = time.Now(), r.wallNow()
		if e.vouched {
			e.state.Confirmed = e.last
		}
	}
}

// lostLocked notes that a name is not followed any more, though it is watched.
func (e *entry) lostLocked(r *Resolver, f *follow) {
	if e.push.follow != f {
		return
	}
	if e.vouchedUntilNow(r, f); f.fresh() {
		e.wait = r.spreadLocked(0, lostSpread)
	}
	e.push.follow = nil
	e.wake()
}

// toldLocked notes that a set of a name came.
func (r *Resolver) toldLocked(f *follow, revision uint64, stale bool) {
	below := revision < f.e.push.revision
	if below || stale {
		f.e.vouchedUntilNow(r, f) // from now on the TTL rules
	}
	f.pending, f.revision, f.stale = true, revision, stale
	switch {
	case !below:
		f.behind = time.Time{}
	case f.behind.IsZero(): // what the server says now is not a change of what it said before
		f.behind, f.applied = time.Now(), false
	}
	now := time.Now()
	switch running := f.e.flight; {
	case running == nil || f.readyIn(now) > 0:
	case running.byDNS:
		running.abandonLocked() // a change that was told does not wait for an answer, or its confirmation
	case now.Sub(f.e.push.hurried) >= hurryEvery:
		f.e.push.hurried = now
		running.hurry(errStraggler)
	}
	f.e.wake()
}

// dueFollowedLocked is when the name has to be looked after while it is followed and no hint
// wants a question.
func (r *Resolver) dueFollowedLocked(e *entry) time.Duration {
	f := e.push.follow
	due := e.wait - r.sinceLocked(e)
	if f.fresh() {
		due = never
		if e.push.look > 0 {
			due = e.push.look - r.sinceLocked(e)
		}
		if !e.shrunk.IsZero() {
			due = min(due, time.Until(e.shrunk.Add(settled)))
		}
		if !f.recheck.IsZero() {
			due = min(due, time.Until(f.recheck))
		}
	}
	return min(due, f.readyIn(time.Now()))
}
