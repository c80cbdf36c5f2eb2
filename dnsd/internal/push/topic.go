package push

import (
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
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
	wide bool   // isWide

	// guarded by hub.mu
	subs    []*subscription
	changes uint64          // how many there were
	ways    map[uint64]*way // to hub.at, as far as they were needed, by mark.key of where they begin
	making  map[uint64]*way // that are being made
}

// subscription is one of a session.
type subscription struct {
	session *session
	topic   *topic
	id      uint16 // of the request that began it
	class   uint16
	place   int // in topic.subs, guarded by hub.mu

	// Guarded by session.mu. A subscription with neither payload nor behind has been sent all
	// of hub.at.
	payload *payload // what is being sent
	sent    int      // messages of it
	behind  []known  // what the client knows when payload is sent; empty: hub.at
	unready bool     // the whole set is being made: the client will know behind by it
	told    uint64   // the last mark to which a change was sent
}

// sendLocked lets the session send p.
func (sub *subscription) sendLocked(p *payload) {
	sub.doneLocked()
	sub.payload = p
	sub.session.srv.held.hold(p, sub.session)
}

// doneLocked is the end of what was being sent.
func (sub *subscription) doneLocked() {
	if sub.payload != nil {
		sub.session.srv.held.release(sub.payload, sub.session)
	}
	sub.payload, sub.sent = nil, 0
}

// mark is a zone at a revision.
type mark struct {
	number uint64 // marks of a hub count up from 1
	zone   *zone.Zone
	view   zone.View
	stale  bool
}

// key is the number of a mark, and 0 for nil, from which whole sets lead on.
func (m *mark) key() uint64 {
	if m == nil {
		return 0
	}
	return m.number
}

// Tests: topic_test.go.
