package push

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// wanting enters topics without subscribers.
func (h *hub) wanting(at *mark, keys ...topicKey) {
	for _, key := range keys {
		if h.topics[key] == nil {
			t := &topic{hub: h, key: key, part: at.view.Part(key.name)}
			h.topics[key] = t
			h.parts[t.part]++
		}
	}
}

// TestEachTopicGetsItsOwnChanges: what is found by the records that have changed is what a
// comparison of each topic finds.
func TestEachTopicGetsItsOwnChanges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, "svc.")
		h := newHub(New(Config{}), w.zone)
		change := func() {
			in := instance(rapid.SampledFrom([]string{"_math._tcp", "_math._udp", "_b._tcp"}).Draw(rt, "service"), rapid.IntRange(1, 4).Draw(rt, "id"))
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				w.change(in.Key, nil)
				return
			case 1: // a host name of its own, or that of another instance
				in.Host = rapid.SampledFrom([]string{"host.example.com.", "a1.math.tcp.svc."}).Draw(rt, "host")
			case 2:
				in.Host = netip.AddrFrom16([16]byte{0xfd, 15: byte(rapid.IntRange(1, 3).Draw(rt, "address"))}).String()
			case 3:
				in.Weight += uint16(rapid.IntRange(1, 9).Draw(rt, "weight"))
			}
			w.change(in.Key, in)
		}
		for range rapid.IntRange(0, 6).Draw(rt, "before") {
			change()
		}
		was := &mark{number: 1, zone: w.zone, view: w.zone.View()}
		for _, name := range []string{
			"svc.", "ns.svc.", "tcp.svc.", "_tcp.svc.", "_services._dns-sd._udp.svc.", "_math._tcp.svc.", "math.tcp.svc.", "_b._tcp.svc.",
			"_math._udp.svc.", "math.udp.svc.", "a1._math._tcp.svc.", "a1.math.tcp.svc.", "a2._math._tcp.svc.", "a2.math.tcp.svc.", "a1._math._udp.svc.",
			"_a1._math._tcp.svc.", "a1.x._math._tcp.svc.", "x.a1.math.tcp.svc.", "none._math._tcp.svc.", "_none._tcp.svc.",
		} {
			for _, qtype := range []uint16{dns.TypeANY, dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeSOA, dns.TypeNS} {
				h.wanting(was, topicKey{name: name, qtype: qtype})
			}
			h.wanting(was, topicKey{follow: true, name: name, qtype: dns.TypeSRV})
		}
		for range rapid.IntRange(0, 6).Draw(rt, "changes") {
			change()
		}
		now := &mark{number: 2, zone: w.zone}
		var parts []string
		now.view, parts, _ = w.zone.Since(was.view)
		found := map[*topic]*touched{}
		for _, part := range parts {
			for _, one := range h.touchedLocked(part, was.view.Difference(now.view, part)) {
				if found[one.topic] != nil {
					rt.Fatalf("%+v is told twice", one.topic.key)
				}
				found[one.topic] = one
			}
		}
		text := func(rrs []dns.RR) (all []string) {
			for _, rr := range rrs {
				all = append(all, rr.String())
			}
			slices.Sort(all)
			return all
		}
		for key, topic := range h.topics {
			removed, added := zone.Compare(topic.records(was), topic.records(now))
			got := found[topic]
			if got == nil {
				got = &touched{}
			}
			if !slices.Equal(text(got.removed), text(removed)) || !slices.Equal(text(got.added), text(added)) {
				rt.Errorf("%+v: removed %q, added %q; want %q and %q", key, text(got.removed), text(got.added), text(removed), text(added))
			}
		}
	})
}

// TestAHostIsFollowedWithoutRecords: it has no SRV records, and its address is not one. A
// client that was told of a removal of what it does not have ends the session.
func TestAHostIsFollowedWithoutRecords(t *testing.T) {
	w := newWorld(t, "svc.")
	w.put("_math._tcp", 1)
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connect(t, s, false)
	c.follow(1, "a1.math.tcp.svc.")
	c.follow(2, "math.tcp.svc.")
	c.follow(3, "_math._tcp.svc.")
	w.remove("_math._tcp", 1)
	c.knows(3, w, "_math._tcp.svc.")
	c.follow(4, "_last._tcp.svc.")
	for _, id := range []uint16{1, 2} {
		if f := c.sets[id]; f.messages != 1 || len(f.records) != 0 {
			t.Errorf("%d: %d messages, %v", id, f.messages, f.records)
		}
	}
}

// TestAChangeCostsByWhatItChanges: subscriptions to names and types without records, of which
// one address may have 16,000, do not make it dearer.
func TestAChangeCostsByWhatItChanges(t *testing.T) {
	w := newWorld(t, "svc.")
	w.load("_math._tcp", 20)
	h := newHub(New(Config{}), w.zone)
	was := &mark{number: 1, zone: w.zone, view: w.zone.View()}
	h.wanting(was, topicKey{follow: true, name: "_math._tcp.svc.", qtype: dns.TypeSRV})
	for i := range 1000 {
		h.wanting(was, topicKey{name: "svc.", qtype: uint16(1000 + i)}, topicKey{name: "_math._tcp.svc.", qtype: uint16(1000 + i)},
			topicKey{follow: true, name: fmt.Sprintf("none%d._math._tcp.svc.", i), qtype: dns.TypeSRV})
	}
	in := instance("_math._tcp", 3)
	in.Weight++
	w.zone.Apply([]registry.Change{{Revision: w.rev + 1, Old: w.all[in.Key], New: in}})
	h.at = &mark{number: 2, zone: w.zone, view: w.zone.View()}
	sent := 0
	allocs := testing.AllocsPerRun(3, func() {
		sent = 0
		h.sendParts(was, []string{"", "_math._tcp"}, func(_ *topic, p *payload) { sent += p.len() })
	})
	if sent != 1 || allocs > 500 {
		t.Errorf("%d messages, %v allocations for 3001 topics", sent, allocs)
	}
}
