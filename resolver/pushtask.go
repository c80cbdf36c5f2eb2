package resolver

import (
	"context"
	"slices"
	"time"
)

const (
	// deafAfter is the time between two questions by DNS, after a hint, whose answers both
	// differ from the set that a session told. A change that DNS tells takes milliseconds to
	// come in the session.
	deafAfter = time.Second
	// maxCompared is the size of a set up to which an answer by DNS has all of it.
	maxCompared = 1000
	// doubtedFor is how long a server does not tell about a name any more, after another one
	// has contradicted it: as after a refusal (RFC 8765 section 6.2.2).
	doubtedFor = 5 * time.Minute
)

// task is what a resolution does.
type task struct {
	follow *follow // nil: it asks by DNS
	check  bool    // it asks by DNS whether what the follow told is true
	change bool    // the set differs from the last one by changes that the server told
	least  uint64  // the revision of the set, or a later one
}

// taskLocked decides what the next resolution of a name does.
func (r *Resolver) taskLocked(e *entry) task {
	f := e.push.follow
	now := time.Now()
	switch {
	case f == nil:
		return task{}
	case f.readyIn(now) <= 0:
		t := task{follow: f, change: f.applied, least: f.revision}
		f.pending = false
		return t
	case !f.fresh():
		return task{}
	case e.hint.pending() && !e.hint.next.After(now) || !f.recheck.IsZero() && !f.recheck.After(now):
		f.recheck = time.Time{}
		return task{follow: f, check: true}
	}
	return task{follow: f, change: true, least: f.revision}
}

// perform does a task. What follows the outcome is of a set: its revision, and whether it is
// believed.
func (r *Resolver) perform(ctx context.Context, name string, t task, last []Endpoint, m *memory) (outcome, uint64, bool) {
	switch {
	case t.follow == nil:
		return r.resolve(ctx, name, "", last, m), 0, true
	case t.check:
		return r.resolve(ctx, name, t.follow.session.server.address, last, m), 0, true
	}
	return r.fromSet(ctx, t, last, m)
}

// fromSet makes an outcome of the set that a session told. It is false if another server has
// contradicted the set, and the outcome is that of the other.
//
// A change is believed as it is. The first set of a session is like an answer of DNS: if it
// takes away more than half of the endpoints, another server must confirm it, or the same
// session a second later.
func (r *Resolver) fromSet(ctx context.Context, t task, last []Endpoint, m *memory) (out outcome, revision uint64, believed bool) {
	name, server := t.follow.e.name, t.follow.session.server.address
	w, err := r.way()
	if err != nil { // no server can be asked for what is not in the set
		w = way{servers: []string{server}, timeout: r.timeout(), attempts: defaultAttempts}
	}
	out, revision = r.assembleSet(ctx, t.follow, w, last, m)
	if t.change || !out.shrinks(last) {
		return out, revision, true
	}
	r.log().Info("resolver: the set has shrunk, asking for confirmation", "name", name, "server", server, "endpoints", len(out.endpoints), "before", len(last), "error", out.err)
	// Where the server was discovered, the others have caches, and confirm nothing.
	if others := w.without(server); len(others.servers) > 0 && !t.follow.found {
		if second := r.resolveAt(ctx, name, others, last, m); second.vouched {
			if second.shrinks(last) {
				return out, revision, true
			}
			r.prefer(second.server)
			return second, 0, false
		}
	}
	select {
	case <-ctx.Done():
		return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: context.Cause(ctx)}}, 0, true
	case <-time.After(r.confirmPause()):
	}
	out, revision = r.assembleSet(ctx, t.follow, w, last, m)
	return out, revision, true
}

// assembleSet makes the set dialable, as it is now.
func (r *Resolver) assembleSet(ctx context.Context, f *follow, w way, last []Endpoint, m *memory) (outcome, uint64) {
	rep, revision := f.set.reply()
	q := question{f.e.name, typeSRV}
	server := f.session.server.address
	if len(rep.srvs) == 0 {
		return r.negative(q.name, rep, server, &noName{q.name, w.system}), revision
	}
	ask := server
	if f.found {
		ask = w.servers[0]
	}
	out := r.endpoints(ctx, q, rep, w, ask, last, m)
	out.server = server
	return out, revision
}

// landLocked applies the outcome of a task.
func (r *Resolver) landLocked(e *entry, t task, out outcome, revision uint64, believed bool) {
	f := t.follow
	switch {
	case f == nil:
	case !believed:
		r.refusedLocked(f, doubtedFor)
	case t.check:
		if e.push.follow == f && !f.deafLocked(r, out) {
			return
		}
	default:
		if revision < t.least {
			return // the server has started over in the meantime, and has told another set
		}
		out.meant = t.change
		r.applyLocked(e, out)
		e.push.revision = revision
		if e.push.follow != f { // it was lost in the meantime
			e.wait = r.spreadLocked(0, lostSpread)
			return
		}
		f.applied, f.behind, f.doubted, f.recheck = true, time.Time{}, time.Time{}, time.Time{}
		if f.since.IsZero() {
			f.since = time.Now()
		}
		if e.push.look = out.look; !out.vouched {
			e.push.look = e.wait
		}
		return
	}
	if out.vouched {
		if e.push.server = out.server; out.aliased { // a server tells about names that it has
			e.push.server = ""
		}
	}
	r.applyLocked(e, out)
}

// deafLocked judges a session by an answer of DNS that a hint has asked for. The same server
// gives both. So the answer can be ahead of the session by a moment only, and if it still
// differs a second later, the session is of no use and ends. So it is if the server does not
// answer.
func (f *follow) deafLocked(r *Resolver, out outcome) bool {
	s, now := f.session, time.Now()
	switch {
	case f.found, f.pending, // a change came while DNS was asked
		out.vouched && out.server == s.server.address && sameSet(f.e.state.Endpoints, out.endpoints):
		f.doubted = time.Time{}
		return false
	case f.doubted.IsZero():
		f.doubted = now
	}
	if f.recheck = f.doubted.Add(deafAfter); now.Before(f.recheck) {
		return false
	}
	f.e.vouchedUntilNow(r, f)
	f.e.push.follow, f.e.push.server = nil, ""
	delete(s.follows, f)
	s.endLocked(errDeaf)
	return true
}

// sameSet reports whether an answer by DNS agrees with the endpoints. Of a set that is too
// large for an answer, it has only a part.
func sameSet(told, asked []Endpoint) bool {
	if len(told) > maxCompared {
		return true
	}
	return slices.EqualFunc(told, asked, func(a, b Endpoint) bool {
		return a.Addr == b.Addr && a.Target == b.Target && a.Priority == b.Priority && a.Weight == b.Weight
	})
}
