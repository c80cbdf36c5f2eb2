package push

import (
	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// topicKey is what a subscription is to.
type topicKey struct {
	follow bool   // FOLLOW, otherwise SUBSCRIBE
	name   string // in lower case
	qtype  uint16 // dns.TypeANY: all
}

// topic is all subscriptions of one zone to the same. What they are sent is made once.
type topic struct {
	hub  *hub
	key  topicKey
	part string // of the zone: zone.View.Part

	// guarded by hub.mu
	subs  []*subscription
	whole *payload            // what a new subscriber is sent at hub.at; nil: not made yet
	diffs map[uint64]*payload // from earlier revisions to hub.at, as far as they were needed
}

// subscription is one of a session.
type subscription struct {
	session *session
	topic   *topic
	id      uint16 // of the request that began it
	class   uint16
	place   int // in topic.subs, guarded by hub.mu

	// Guarded by session.mu. A subscription with neither has been sent all of hub.at.
	payload *payload // what is being sent
	sent    int      // messages of it
	behind  *mark    // what the client knows when payload is sent; nil: hub.at
}

// mark is a zone at a revision.
type mark struct {
	zone  *zone.Zone
	view  zone.View
	stale bool
}

// payload is messages for all subscriptions of a topic. It is immutable.
type payload struct {
	from     *mark // nil: it is a whole set
	revision uint64
	sets     []dso.Body // of a FOLLOW
	pushes   [][]byte   // of a SUBSCRIBE
}

func (p *payload) len() int { return len(p.sets) + len(p.pushes) }

func (p *payload) size(i int) int {
	if p.sets != nil {
		return dso.PrefixSize + len(p.sets[i])
	}
	return len(p.pushes[i])
}

// append appends a message, framed, for the subscription with an id.
func (p *payload) append(b []byte, i int, id uint16) []byte {
	if p.sets == nil {
		return append(b, p.pushes[i]...)
	}
	return p.sets[i].Append(b, id, p.revision)
}

// records returns what the topic is about at m.
func (t *topic) records(m *mark) []dns.RR {
	if t.key.follow {
		return m.view.Followed(t.key.name)
	}
	return m.view.Set(t.key.name, t.key.qtype)
}

// encode makes messages of changes that lead to m.
func (t *topic) encode(m *mark, flags dso.Flags, added, removed []dns.RR) *payload {
	p, err := &payload{revision: m.view.Revision()}, error(nil)
	if t.key.follow {
		if m.stale {
			flags |= dso.Stale
		}
		p.sets, err = dso.Sets(flags, p.revision, added, removed)
	} else {
		p.pushes, err = dso.Pushes(added, removed)
	}
	if err != nil {
		t.hub.srv.tell("push: a record is too long to be sent", "error", err)
	}
	return p
}

// wholeLocked returns the whole set at hub.at.
func (t *topic) wholeLocked() *payload {
	now := t.hub.at.view.Revision()
	switch {
	case t.whole == nil:
		t.whole = t.encode(t.hub.at, dso.Whole, t.records(t.hub.at), nil)
	case t.whole.revision != now: // others have changed, but not this topic
		same := *t.whole
		same.revision = now
		t.whole = &same
	}
	return t.whole
}

// diffLocked returns what has changed since a mark. It is empty if nothing has, but for a
// FOLLOW, which hears of the new revision.
func (t *topic) diffLocked(from *mark) *payload {
	if p := t.diffs[from.view.Revision()]; p != nil && p.from.zone == from.zone {
		return p
	}
	removed, added := zone.Compare(t.records(from), t.records(t.hub.at))
	p := t.encode(t.hub.at, 0, added, removed)
	p.from = from
	if t.diffs == nil {
		t.diffs = make(map[uint64]*payload)
	}
	if len(t.diffs) < mostDiffs {
		t.diffs[from.view.Revision()] = p
	}
	return p
}

// mostDiffs is how many differences a topic keeps until its next change. Clients that read
// too slowly are behind by the same few revisions.
const mostDiffs = 16

// forgetLocked drops what is out of date after a change.
func (t *topic) forgetLocked() { t.whole, t.diffs = nil, nil }

// covers tells whether a subscription's changes have all those of another one of its
// session: a change is sent once (RFC 8765 section 6.3.1).
func (sub *subscription) covers(other *subscription) bool {
	a, b := sub.topic.key, other.topic.key
	switch {
	case sub == other, a.follow, b.follow, a.name != b.name:
		return false
	case a.qtype == b.qtype:
		return sub.class == dns.ClassANY && other.class != dns.ClassANY // one of each: they are not the same
	}
	return a.qtype == dns.TypeANY
}

// coveredLocked tells whether another subscription has all changes of this one.
func (sub *subscription) coveredLocked() bool {
	if sub.topic.key.follow {
		return false
	}
	for _, other := range sub.session.subs {
		if other.covers(sub) {
			return true
		}
	}
	return false
}
