package push

import (
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// touched is what has changed for a topic.
type touched struct {
	topic          *topic
	removed, added []dns.RR
}

// touchedLocked returns the topics of a part of the zone for which something has changed. It
// costs by what has changed, and not by the number of topics: a client may subscribe to
// thousands of names and types that have no records.
func (h *hub) touchedLocked(part string, d *zone.Delta) (all []*touched) {
	of := make(map[*topic]*touched)
	find := func(key topicKey) *touched {
		t := h.topics[key]
		if t == nil || t.part != part {
			return nil
		}
		if of[t] == nil {
			of[t] = &touched{topic: t}
			all = append(all, of[t])
		}
		return of[t]
	}
	for _, rr := range d.Removed {
		for key := range h.keys(part, rr) {
			if one := find(key); one != nil {
				one.removed = append(one.removed, rr)
			}
		}
	}
	for _, rr := range d.Added {
		for key := range h.keys(part, rr) {
			if one := find(key); one != nil {
				one.added = append(one.added, rr)
			}
		}
	}
	return all
}

// keys yields the keys of the topics that a record of a part of the zone belongs to: see
// zone.Delta.Set and zone.Delta.Followed.
func (h *hub) keys(part string, rr dns.RR) func(yield func(topicKey) bool) {
	return func(yield func(topicKey) bool) {
		name, rrtype := rr.Header().Name, rr.Header().Rrtype
		if !yield(topicKey{name: name, qtype: rrtype}) || !yield(topicKey{name: name, qtype: dns.TypeANY}) {
			return
		}
		switch rrtype {
		case dns.TypeSRV:
			yield(topicKey{follow: true, name: name, qtype: dns.TypeSRV})
		case dns.TypeA, dns.TypeAAAA:
			// The host of a1._math._tcp.svc. is a1.math.tcp.svc.
			service := part + "." + h.origin
			id, ok := strings.CutSuffix(name, "."+strings.ReplaceAll(part, "_", "")+"."+h.origin)
			if ok && yield(topicKey{follow: true, name: service, qtype: dns.TypeSRV}) {
				yield(topicKey{follow: true, name: id + "." + service, qtype: dns.TypeSRV})
			}
		}
	}
}

// Tests: touched_test.go, topic_test.go.
