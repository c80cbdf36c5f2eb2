package push

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// hub has the subscriptions of one zone. It runs while there are any.
type hub struct {
	srv    *Server
	origin string

	mu      sync.Mutex // guards what follows. Taken before that of a session
	zone    *zone.Zone
	at      *mark // what all subscribers have been sent, or will be; nil: there are none
	topics  map[topicKey]*topic
	parts   map[string]int // topics of each part of the zone that has any
	wake    chan struct{}  // has a value when run has something else to look at
	running bool
	closed  bool
}

func newHub(s *Server, z *zone.Zone) *hub {
	return &hub{
		srv: s, origin: z.Origin(), zone: z, wake: make(chan struct{}, 1),
		topics: make(map[topicKey]*topic), parts: make(map[string]int),
	}
}

// current is the zone now.
func (h *hub) current() *zone.Zone {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.zone
}

// use replaces the zone by another of the same origin. run sends the difference.
func (h *hub) use(z *zone.Zone) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.zone != z {
		h.zone = z
		h.poke()
	}
}

// poke wakes run.
func (h *hub) poke() {
	select {
	case h.wake <- struct{}{}:
	default: // it has not seen the last one yet
	}
}

// close ends the hub, and returns the sessions with a subscription in it.
func (h *hub) close() []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.poke()
	return h.sessionsLocked()
}

// sessionsLocked returns the sessions with a subscription in the zone.
func (h *hub) sessionsLocked() []*session {
	seen := make(map[*session]bool)
	var all []*session
	for _, t := range h.topics {
		for _, sub := range t.subs {
			if !seen[sub.session] {
				seen[sub.session] = true
				all = append(all, sub.session)
			}
		}
	}
	return all
}

// run sends the changes of the zone until there is no subscription.
func (h *hub) run() {
	defer h.srv.wg.Done()
	for {
		h.mu.Lock()
		if h.closed || len(h.topics) == 0 {
			h.running, h.at = false, nil
			h.mu.Unlock()
			return
		}
		// Before the zone is read, so that no change is missed.
		changed, stale := h.zone.Changed(), h.zone.StaleChanged()
		h.advanceLocked() // which does not panic
		h.mu.Unlock()
		select {
		case <-changed:
		case <-stale:
		case <-h.wake:
		}
	}
}

// advanceLocked brings all subscribers to the zone as it is now. A panic costs their
// sessions: no client may be behind without being told.
func (h *hub) advanceLocked() {
	defer func() {
		if p := recover(); p != nil {
			h.srv.panicked(p, "zone", h.origin)
			for _, t := range h.topics {
				t.forgetLocked() // it may have changed, and those that begin now must not get what was before
			}
			all := h.sessionsLocked()
			h.srv.wg.Go(func() { // the hub runs, so the count is above 0
				for _, s := range all {
					s.abort("a panic")
				}
			})
		}
	}()
	was, now := h.at, &mark{number: h.at.number + 1, zone: h.zone, stale: h.zone.Stale()}
	var parts []string
	known := false // parts are all that has changed
	if was.zone == h.zone {
		now.view, parts, known = h.zone.Since(was.view)
	} else {
		now.view = h.zone.View()
	}
	moved := was.zone != now.zone || was.view.Revision() != now.view.Revision() || !known
	if !moved && was.stale == now.stale {
		return
	}
	h.at = now
	if h.restartLocked(was, now) {
		return
	}
	at := time.Now()
	sent := make(map[*topic]bool)
	send := func(t *topic, p *payload) {
		if p != nil {
			sent[t] = true
			t.forgetLocked()
			t.fanOut(p, was, at)
		}
	}
	switch {
	case !moved:
	case known:
		h.sendParts(was, parts, send)
	case was.zone == now.zone: // it was loaded
		h.sendParts(was, slices.Collect(maps.Keys(h.parts)), send)
	default:
		for _, t := range h.topics {
			send(t, t.change(was, now))
		}
	}
	if was.stale == now.stale {
		return
	}
	for _, t := range h.topics {
		if t.key.follow && !sent[t] {
			send(t, t.encode(was, now, 0, nil, nil))
		}
	}
}

// restartLocked ends all sessions of the zone if its revisions go on from a lower one: it has
// another registry. Within a session revisions only grow, and clients take the first set of a
// session for what it is.
func (h *hub) restartLocked(was, now *mark) bool {
	if now.view.Revision() >= was.view.Revision() {
		return false
	}
	for _, t := range h.topics {
		t.forgetLocked()
	}
	h.srv.drain(h.sessionsLocked(), dns.RcodeSuccess, comeBack)
	return true
}

// sendParts sends what has changed in parts of the zone.
func (h *hub) sendParts(was *mark, parts []string, send func(*topic, *payload)) {
	for _, part := range parts {
		if h.parts[part] == 0 {
			continue
		}
		for _, one := range h.touchedLocked(part, was.view.Difference(h.at.view, part)) {
			send(one.topic, one.topic.encode(was, h.at, 0, one.added, one.removed))
		}
	}
}

// change returns what is sent for the way from one mark to another, or nil if nothing of
// the topic has changed.
func (t *topic) change(was, now *mark) *payload {
	removed, added := t.difference(was, now)
	if len(added)+len(removed) == 0 {
		return nil
	}
	return t.encode(was, now, 0, added, removed)
}

// add begins a subscription: the session is sent accept, the answer to its request, and
// then the whole set. It returns false if the zone is gone.
func (h *hub) add(sub *subscription, key topicKey, accept []byte) bool {
	if !h.enter(sub, key) {
		return false
	}
	t, s := sub.topic, sub.session
	w, made := t.way(nil)
	s.charge(w, made)
	buf := h.srv.buffer()
	defer h.srv.release(buf)
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.unready = false
	if s.state >= leaving || w == nil {
		sub.behind = nil
		return true // the zone has gone, or the session ends: the reader removes it at its end
	}
	s.state = established
	s.out = append(s.out, accept...)
	if sub.reachLocked(nil, w); w.payload.len() > 0 {
		sub.sendLocked(w.payload)
	}
	s.flushLocked(buf, time.Now())
	return true
}

// enter makes sub a subscription that hears of changes, and has to be sent the whole set.
func (h *hub) enter(sub *subscription, key topicKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if !h.running {
		h.at = &mark{number: 1, zone: h.zone, view: h.zone.View(), stale: h.zone.Stale()}
		h.running = true
		h.srv.wg.Add(1) // the reader that calls has not ended, so this is above 0
		go h.run()
	} else {
		h.advanceLocked() // so that a client never sees less than what it has been told
	}
	t := h.topics[key]
	if t == nil {
		t = &topic{hub: h, key: key, part: h.at.view.Part(key.name)}
		t.wide = isWide(t.part, t.key.name)
		h.parts[t.part]++
		h.topics[key] = t
	}
	sub.topic, sub.place = t, len(t.subs)
	t.subs = append(t.subs, sub)
	s := sub.session
	s.mu.Lock()
	defer s.mu.Unlock()
	// What it covers of other subscriptions is sent by it from here on: the changes after
	// this mark follow the whole set.
	sub.behind, sub.unready = []known{{h.at, t.changes}}, true
	s.subs = append(s.subs, sub)
	return true
}

// remove ends a subscription.
func (h *hub) remove(sub *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, s := sub.topic, sub.session
	h.srv.dismiss(s)
	last := len(t.subs) - 1
	t.subs[sub.place] = t.subs[last]
	t.subs[sub.place].place = sub.place
	t.subs[last] = nil
	t.subs = t.subs[:last]
	if last == 0 {
		delete(h.topics, t.key)
		if h.parts[t.part]--; h.parts[t.part] == 0 {
			delete(h.parts, t.part)
		}
		if len(h.topics) == 0 {
			h.poke()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = slices.DeleteFunc(s.subs, func(o *subscription) bool { return o == sub })
	covers := false
	for _, other := range s.subs {
		if sub.covers(other) {
			covers = true
			other.inheritLocked(sub, h.at)
		}
	}
	if covers && s.state < leaving && sub.payload != nil && sub.payload.change {
		// Others have left these changes to it. A PUSH has no id, and clients ignore what
		// they have not subscribed to.
		s.orphans = append(s.orphans, orphan{sub.payload, sub.sent})
		sub.payload = nil
	}
	sub.doneLocked()
}

// catchUp lets a subscription send the difference between what its client knows and the
// zone now. The writer calls it, without a lock.
func (h *hub) catchUp(sub *subscription) {
	t, s := sub.topic, sub.session
	s.mu.Lock()
	from := sub.fromLocked()
	s.mu.Unlock()
	if from == nil {
		return
	}
	w, _ := t.way(from)
	if w != nil && t.key.follow && w.payload.len() > 1 {
		w, _ = t.way(nil) // all slow clients share it
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.fromLocked() != from || s.state >= leaving || !slices.Contains(s.subs, sub) {
		return
	}
	if slices.ContainsFunc(s.subs, sub.leavesToLocked) {
		return // to one that was told of the change only now: that one sends it
	}
	if w == nil {
		sub.behind = nil // the zone has just gone, and the session will hear of it
		return
	}
	var left []*subscription // that leave the change to this one
	for _, other := range s.subs {
		if other.leavesToLocked(sub) {
			left = append(left, other)
		}
	}
	sub.reachLocked(from, w)
	for _, other := range left {
		if other.behind = nil; len(sub.behind) > 0 {
			other.behind = []known{{w.at, notCounted}}
		}
	}
	if w.payload.len() > 0 {
		sub.sendLocked(w.payload)
		h.srv.stats.resynchronised.Add(1)
	}
}

// Tests: server_test.go, slow_test.go, topic_test.go, cost_test.go.
