package zone

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// services is the content of a zone of services.
type services struct{ *Zone }

func (z services) keys(c *registry.Change) []string { return []string{c.Key().Service} }

func (z services) find(v *version, key string) part {
	if s, ok := v.services.find(key); ok {
		return s
	}
	return nil
}

func (z services) change(p part, key string, old, now *registry.Instance) part {
	s, _ := p.(*service)
	return s.change(key, old, now, z.publishable(now))
}

func (z services) load(v *version, ms []member) {
	slices.SortFunc(ms, func(a, b member) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID))
	})
	var all []*service
	for len(ms) > 0 {
		n := 1
		for n < len(ms) && ms[n].Service == ms[0].Service {
			n++
		}
		s := newService(ms[0].Service, ms[:n:n])
		all = append(all, s)
		v.count(s, 1)
		ms = ms[n:]
	}
	v.services = listOf(all)
	t := newTable(len(all))
	for _, s := range all {
		t = t.put(s)
	}
	z.table.Store(t)
}

// replace makes the service visible to AppendAnswer before its version is current: a
// client that saw a serial then finds at least the state of that serial.
func (z services) replace(v *version, was, now part) {
	old, _ := was.(*service)
	s, _ := now.(*service)
	if (old == nil) != (s == nil) {
		v.listing = &listing{epoch: v.listing.epoch}
	}
	if old != nil {
		v.count(old, -1)
	}
	switch {
	case s != nil:
		v.count(s, 1)
		v.services = v.services.with(s)
		z.table.Store(z.table.Load().put(s))
	case old != nil:
		v.services = v.services.without(old.key)
		z.table.Load().remove(old)
	}
}

func (z services) each(v *version, yield func([]dns.RR) bool) {
	for s := range v.services.all() {
		if !yield([]dns.RR{z.listed(s)}) {
			return
		}
	}
	for s := range v.services.all() {
		if !yield(z.srvSet(s)) || !yield(z.ptrSet(s)) || !yield(z.hostSet(s, true)) || !yield(z.hostSet(s, false)) {
			return
		}
		for m := range s.members.all() {
			if !yield(z.instanceRRs(s, m)) {
				return
			}
		}
	}
}

func (z services) compare(d *Delta, was, now part) {
	old, _ := was.(*service)
	is, _ := now.(*service)
	switch {
	case old == is:
		return
	case old == nil:
		old = &service{key: is.key}
		d.Added = append(d.Added, z.listed(is))
	case is == nil:
		is = &service{key: old.key}
		d.Removed = append(d.Removed, z.listed(old))
	}
	// If neither the TTL nor equal records can change the records of other members,
	// those of the changed members are the whole difference. A secondary asks five
	// times a second, and a service may have thousands of members.
	sameTTL := old.hasRecords() && is.hasRecords() && old.ttl.value == is.ttl.value
	srvAlone := sameTTL && old.foreign+is.foreign == 0
	if !srvAlone {
		d.sets(z.srvSet(old), z.srvSet(is))
	}
	if !sameTTL {
		d.sets(z.ptrSet(old), z.ptrSet(is))
	}
	z.compareHosts(d, old, is, true)
	z.compareHosts(d, old, is, false)
	for m, n := range changed(old.members, is.members) {
		var a, b []dns.RR
		before, after := one(m), one(n)
		if srvAlone {
			d.sets(z.srvRRs(old, before), z.srvRRs(is, after))
		}
		if sameTTL {
			d.sets(z.ptrRRs(old, before), z.ptrRRs(is, after))
		}
		if m.Instance != nil {
			a = z.instanceRRs(old, m)
		}
		if n.Instance != nil {
			b = z.instanceRRs(is, n)
		}
		d.sets(a, b)
	}
}

func (z services) differ(was, now *version, yield func(string, bool)) {
	for s, t := range changed(was.services, now.services) {
		yield(cmp.Or(s, t).key, s != nil && t != nil)
	}
}

// one yields a member, unless it is the zero value.
func one(m member) iter.Seq[member] {
	return func(yield func(member) bool) {
		if m.Instance != nil {
			yield(m)
		}
	}
}

// compareHosts adds the difference between the addresses of the host name, of one
// family.
func (z services) compareHosts(d *Delta, old, is *service, v4 bool) {
	a, b := old.ttl4, is.ttl4
	if !v4 {
		a, b = old.ttl6, is.ttl6
	}
	if a.total+b.total == 0 {
		return
	}
	if a.total == 0 || b.total == 0 || a.value != b.value {
		d.sets(z.hostSet(old, v4), z.hostSet(is, v4))
		return
	}
	// An address is in the set as long as one member has it. Few may have come or gone, so
	// that a look at all members for them is some comparisons for each.
	const maxTouched = 16
	var touched []netip.Addr
	of := func(m member) (netip.Addr, bool) {
		if m.Instance == nil {
			return netip.Addr{}, false
		}
		a, ok := m.addr()
		return a, ok && a.Is4() == v4
	}
	for m, n := range changed(old.members, is.members) {
		before, had := of(m)
		after, has := of(n)
		if had && has && before == after {
			continue
		}
		if had {
			touched = append(touched, before)
		}
		if has {
			touched = append(touched, after)
		}
		if len(touched) > maxTouched {
			d.sets(z.hostSet(old, v4), z.hostSet(is, v4))
			return
		}
	}
	if len(touched) == 0 {
		return
	}
	among := func(s *service) iter.Seq[member] {
		return once(s.members.all(), func(m member) (netip.Addr, bool) {
			addr, ok := of(m)
			return addr, ok && slices.Contains(touched, addr)
		})
	}
	d.sets(z.hostRRs(old, v4, among(old)), z.hostRRs(is, v4, among(is)))
}

func (z services) records(v *version) int { return 6*v.members + v.services.n }

// lookup answers for a name that is neither the apex nor a name server.
func (z services) lookup(v *version, name []byte, qtype uint16) Answer {
	switch p := placeOf(name, z.wire); p.at {
	case protocol:
		return v.empty(v.hasProtocol(p.udp))
	case hostProtocol:
		return v.empty(v.hosts[btoi(p.udp)] > 0)
	case serviceName:
		return z.atService(v, p, qtype)
	case hostName:
		return z.atHost(v, p, qtype)
	case instanceName, instanceHost:
		return z.atInstance(v, p, qtype)
	case browseName:
		return z.atServices(v, qtype)
	default:
		return v.empty(false)
	}
}

// Tests: journal_test.go, reference_test.go.
