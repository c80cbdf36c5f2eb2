package push

import (
	"slices"

	"github.com/miekg/dns"
)

// known is what a client knows of a topic: the zone at a mark. A client may know a mixture
// of several, because a subscription that has all records of another one sends their changes
// for both, and may end before it has sent all. Then the difference from each of them is
// sent.
type known struct {
	at      *mark
	changes uint64 // topic.changes at that mark
}

const (
	// notCounted is known.changes if the mark comes from another topic.
	notCounted = ^uint64(0)
	// mostKnown bounds what a client knows: one that lets more subscriptions end than this
	// without reading is aborted.
	mostKnown = 16
)

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

// leavesToLocked tells whether another subscription sends the next changes of this one as
// well, because it has all of them, and the client knows the same of both.
func (sub *subscription) leavesToLocked(other *subscription) bool {
	return !sub.unready && !other.unready && other.covers(sub) && sameLocked(sub, other)
}

// sameLocked tells whether the client knows the same of two subscriptions of its session.
func sameLocked(a, b *subscription) bool {
	if len(a.behind) != len(b.behind) {
		return false
	}
	return len(a.behind) == 0 || len(a.behind) == 1 && a.behind[0].at == b.behind[0].at
}

// fromLocked returns the mark from which on the client needs the next difference; nil: it
// needs none.
func (sub *subscription) fromLocked() *mark {
	if sub.unready || len(sub.behind) == 0 {
		return nil
	}
	first := sub.behind[0].at
	for _, k := range sub.behind {
		if k.at.number < first.number {
			first = k.at
		}
	}
	return first
}

// reachLocked notes that the way from a mark is sent; nil: from nothing. hub.mu is held, too.
func (sub *subscription) reachLocked(from *mark, w *way) {
	sub.behind = slices.DeleteFunc(sub.behind, func(k known) bool { return from == nil || k.at == from || k.changes == w.changes })
	sub.behind = append(sub.behind, known{w.at, w.changes})
	if !slices.ContainsFunc(sub.behind, func(k known) bool { return k.changes != sub.topic.changes }) {
		sub.behind = nil
	}
}

// behindLocked notes that the client knows the zone as it was before the last change, when
// what is on its way is sent. The subscriptions that this one covers have left that change
// to it.
func (sub *subscription) behindLocked(was *mark) {
	for _, other := range sub.session.subs {
		if len(other.behind) == 0 && sub.covers(other) {
			other.behind = []known{{was, notCounted}}
		}
	}
	sub.behind = []known{{was, sub.topic.changes - 1}}
}

// inheritLocked lets sub see to what the client knows by another one, which covered it and
// has gone: a record may have come by that one alone. now is hub.at.
func (sub *subscription) inheritLocked(gone *subscription, now *mark) {
	if len(sub.behind) == 0 && len(gone.behind) == 0 {
		return
	}
	if len(sub.behind) == 0 {
		sub.behind = []known{{now, sub.topic.changes}}
	}
	more := slices.Clone(gone.behind)
	if len(more) == 0 {
		more = []known{{at: now}}
	}
	for _, k := range more {
		if !slices.ContainsFunc(sub.behind, func(has known) bool { return has.at == k.at }) {
			sub.behind = append(sub.behind, known{k.at, notCounted})
		}
	}
	if len(sub.behind) > mostKnown {
		sub.session.abortLocked("many subscriptions have ended, and the client does not read")
	}
}

// Tests: topic_test.go, way_test.go.
