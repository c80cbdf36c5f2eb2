package push

import (
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// messages are the octets of a payload. They are immutable.
type messages struct {
	sets   []dso.Body // of a FOLLOW
	pushes [][]byte   // of a SUBSCRIBE
	octets int        // of all of them

	holders map[*session]int // of a long payload, guarded by held.mu
}

// payload is messages for all subscriptions of a topic. It is immutable.
type payload struct {
	*messages
	change   bool // it leads on from what the client knows; otherwise it is a whole set
	revision uint64
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

// encode makes messages of changes that lead to m.
func (t *topic) encode(from, m *mark, flags dso.Flags, added, removed []dns.RR) *payload {
	p, err := &payload{messages: new(messages), change: from != nil, revision: m.view.Revision()}, error(nil)
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
	for i := range p.len() {
		p.octets += p.size(i)
	}
	return p
}

// records returns what the topic is about at m.
func (t *topic) records(m *mark) []dns.RR {
	if t.key.follow {
		return m.view.Followed(t.key.name)
	}
	return m.view.Set(t.key.name, t.key.qtype)
}

// difference returns how the records of the topic differ.
func (t *topic) difference(was, now *mark) (removed, added []dns.RR) {
	if was.zone != now.zone || !t.wide { // another zone, or few records
		return zone.Compare(t.records(was), t.records(now))
	}
	d := was.view.Difference(now.view, t.part)
	if t.key.follow {
		return d.Followed(t.key.name)
	}
	return d.Set(t.key.name, t.key.qtype)
}

// isWide tells whether a name has records of all instances of its part of the zone: it is
// that of the service or its host name, or the list of services.
func isWide(part, name string) bool {
	return part != "" && (strings.HasPrefix(name, part+".") || strings.HasPrefix(name, strings.ReplaceAll(part, "_", "")+"."))
}

// way is a payload that was made without a lock, and where it leads.
type way struct {
	payload *payload      // nil: it could not be made
	at      *mark         // nil in topic.ways, which must not hold a version of the zone: hub.at
	changes uint64        // topic.changes at that time
	done    chan struct{} // is closed when payload is set
	took    time.Duration // to make it
}

// way returns what leads from a mark, or from nothing if from is nil, to the zone as it is
// when way is called, or later. It is made without a lock, because that of a large service
// takes a while in which others want their changes, and once for all that want the same. It
// is nil if the zone has gone. made tells whether this call has made it.
func (t *topic) way(from *mark) (_ *way, made bool) {
	h := t.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	called := t.changes
	for h.at != nil {
		if w := t.ways[from.key()]; w != nil {
			return t.presentLocked(w), false
		}
		w := t.making[from.key()]
		if w == nil {
			return t.makeLocked(from), true
		}
		h.mu.Unlock()
		<-w.done
		h.mu.Lock()
		switch {
		case w.payload == nil || w.changes < called || h.at == nil:
		case w.changes == t.changes:
			return t.presentLocked(w), false
		default:
			return w, false
		}
	}
	return nil, false
}

// presentLocked is a way that led to hub.at when others had not changed, and this topic has
// not changed since.
func (t *topic) presentLocked(w *way) *way {
	at := t.hub.at
	if w.at == at {
		return w
	}
	p := *w.payload
	p.revision = at.view.Revision()
	return &way{payload: &p, at: at, changes: w.changes}
}

// makeLocked makes a way to hub.at. It unlocks hub.mu meanwhile.
func (t *topic) makeLocked(from *mark) *way {
	h := t.hub
	w := &way{at: h.at, changes: t.changes, done: make(chan struct{})}
	if t.making == nil {
		t.making, t.ways = make(map[uint64]*way), make(map[uint64]*way)
	}
	t.making[from.key()] = w
	defer func() { // also after a panic, which costs the session its connection
		h.mu.Lock()
		delete(t.making, from.key())
		close(w.done)
		if w.payload != nil && w.changes == t.changes && (from == nil || len(t.ways) < mostDiffs && w.payload.len() < 2) {
			t.ways[from.key()] = &way{payload: w.payload, changes: w.changes}
		}
	}()
	h.mu.Unlock()
	begun := time.Now()
	defer func() { w.took = time.Since(begun) }() // before done is closed
	if h.srv.making != nil {
		h.srv.making(t.key.name)
	}
	if from == nil {
		w.payload = t.encode(nil, w.at, dso.Whole, t.records(w.at), nil)
		return w
	}
	removed, added := t.difference(from, w.at)
	w.payload = t.encode(from, w.at, 0, added, removed)
	return w
}

// mostDiffs is how many differences a topic keeps until its next change. Clients that read
// too slowly are behind by the same few revisions.
const mostDiffs = 16

// forgetLocked drops what is out of date after a change.
func (t *topic) forgetLocked() {
	t.changes++
	clear(t.ways)
}

// Tests: way_test.go, topic_test.go, slow_test.go.
