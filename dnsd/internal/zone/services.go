package zone

import (
	"cmp"
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

func (z services) change(p part, key string, old, now *registry.Instance, epoch uint64) part {
	s, _ := p.(*service)
	s = s.change(key, old, now)
	s.epoch = epoch
	return s
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
		s.epoch = v.listing.epoch
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

// replace makes the hot path see the service before the version is published:
// who sees a serial finds at least what it stands for.
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
			if !yield(z.own(s, m)) {
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
	d.sets(z.srvSet(old), z.srvSet(is))
	d.sets(z.ptrSet(old), z.ptrSet(is))
	d.sets(z.hostSet(old, true), z.hostSet(is, true))
	d.sets(z.hostSet(old, false), z.hostSet(is, false))
	for m, n := range changed(old.members, is.members) {
		var a, b []dns.RR
		if m.Instance != nil {
			a = z.own(old, m)
		}
		if n.Instance != nil {
			b = z.own(is, n)
		}
		d.sets(a, b)
	}
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
