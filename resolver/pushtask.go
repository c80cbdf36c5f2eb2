package resolver

import (
	"context"
	"time"
)

// doubtedFor is how long a server does not tell about a name any more, after another one has
// contradicted it: as after a refusal (RFC 8765 section 6.2.2).
const doubtedFor = 5 * time.Minute

// task is what a resolution does.
type task struct {
	follow *follow // nil: it asks by DNS
	check  bool    // it asks by DNS whether what the follow told is true
	change bool    // the set differs from the last one by changes that the server told
	least  uint64  // the revision of the set, or a later one
	stale  string  // the server of a session that says that it is stale; "": none
}

// taskLocked decides what the next resolution of a name does.
func (r *Resolver) taskLocked(e *entry) task {
	f := e.push.follow
	now := time.Now()
	switch {
	case f == nil:
		return task{}
	case f.readyIn(now) <= 0:
		t := task{follow: f, change: f.applied, least: f.revision, stale: f.staleServer()}
		f.pending = false
		return t
	case !f.fresh():
		return task{stale: f.staleServer()}
	case e.hint.pending() && !e.hint.next.After(now) || !f.recheck.IsZero() && !f.recheck.After(now):
		f.recheck = time.Time{}
		return task{follow: f, check: true}
	}
	return task{follow: f, change: true, least: f.revision}
}

// byDNS reports whether the task takes what time servers take, while a set may come that is
// to be applied at once.
func (t task) byDNS() bool { return t.follow == nil || t.check }

// taskResult is what a task leads to.
type taskResult struct {
	outcome
	revision uint64 // of the set that it is
	others   bool   // there are other servers to ask than that of the session
	denied   bool   // it is the answer of another server, which contradicts the set
	asked    *reply // of a check: what the server of the session answered; nil: nothing of use
}

// perform does a task. In asking, which ends with ctx or before, targets are asked for that
// are not in a set that was told.
func (r *Resolver) perform(ctx, asking context.Context, name string, t task, last []Endpoint, m *memory) taskResult {
	switch {
	case t.follow == nil:
		return taskResult{outcome: r.resolve(ctx, name, t.stale, last, m)}
	case t.check:
		return taskResult{asked: r.check(ctx, t.follow, m)}
	}
	return r.fromSet(ctx, asking, t, last, m)
}

// fromSet makes an outcome of the set that a session told. If another server contradicts the
// set, the outcome is that of the other.
//
// A change is believed as it is. The first set of a session is like an answer of DNS: if it
// takes away more than half of the endpoints, another server must confirm it, or the same
// session a second later.
func (r *Resolver) fromSet(ctx, asking context.Context, t task, last []Endpoint, m *memory) taskResult {
	name, server := t.follow.e.name, t.follow.session.server.address
	w, err := r.way()
	if err != nil { // no server can be asked for what is not in the set
		w = way{servers: []string{server}, timeout: r.timeout(), attempts: defaultAttempts}
	}
	out := r.assembleSet(asking, t.follow, w, last, m)
	out.others = !t.follow.found && len(w.without(server).servers) > 0
	if t.change || !out.shrinks(last) {
		return out
	}
	r.log().Info("resolver: the set has shrunk, asking for confirmation", "name", name, "server", server, "endpoints", len(out.endpoints), "before", len(last), "error", out.err)
	// Where the server was discovered, the others have caches, and confirm nothing.
	if others := w.without(server); len(others.servers) > 0 && !t.follow.found {
		if second := r.resolveAt(ctx, name, others, last, m); second.vouched && (!second.stale || t.stale != "") {
			if second.shrinks(last) {
				return out
			}
			if !second.stale {
				r.prefer(second.server)
			}
			return taskResult{outcome: second, denied: true}
		}
	}
	select {
	case <-ctx.Done():
		return taskResult{outcome: outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: context.Cause(ctx)}}}
	case <-time.After(r.confirmPause()):
	}
	return r.assembleSet(ctx, t.follow, w, last, m)
}

// assembleSet makes the set dialable, as it is now.
func (r *Resolver) assembleSet(ctx context.Context, f *follow, w way, last []Endpoint, m *memory) taskResult {
	rep, revision := f.set.reply()
	q := question{f.e.name, typeSRV}
	server := f.session.server.address
	if len(rep.srvs) == 0 {
		return taskResult{outcome: r.negative(q.name, rep, server, &noName{q.name, w.system}), revision: revision}
	}
	ask := server
	if f.found {
		ask = w.servers[0]
	}
	out := r.endpoints(ctx, q, rep, w, ask, last, m)
	out.server = server
	return taskResult{outcome: out, revision: revision}
}

// landLocked applies the result of a task.
func (r *Resolver) landLocked(e *entry, t task, got taskResult) {
	f, out := t.follow, got.outcome
	switch {
	case f == nil:
	case t.check:
		if e.push.follow == f {
			f.checkedLocked(got.asked)
		}
		return
	case got.denied:
		r.refusedLocked(f, doubtedFor)
	case got.revision < t.least:
		return // the server has started over in the meantime, and has told another set
	default:
		out.meant = t.change
		version, ttl := e.version, e.state.TTL
		r.applyLocked(e, out)
		if e.push.revision = got.revision; e.version != version {
			e.push.news = news{at: e.last, ttl: max(ttl, e.state.TTL), found: f.found}
		}
		if e.push.follow != f { // it was lost in the meantime
			e.wait = r.spreadLocked(0, lostSpread)
			return
		}
		f.applied, f.behind, f.doubted, f.recheck = true, time.Time{}, time.Time{}, time.Time{}
		e.push.refusals = 0
		if f.since.IsZero() {
			f.since = time.Now()
		}
		if e.push.look = out.look; !out.vouched {
			e.push.look = e.wait
		}
		if f.stale && got.others {
			r.seekBetterLocked(e)
		}
		return
	}
	if out.vouched {
		r.leaveStaleLocked(e, out)
		if e.push.server = out.server; out.aliased { // a server tells about names that it has
			e.push.server = ""
		}
		if e.push.news.outdates(out, time.Now(), r.maxTTL()) {
			r.keepToldLocked(e, out)
			return
		}
	}
	r.applyLocked(e, out)
}
