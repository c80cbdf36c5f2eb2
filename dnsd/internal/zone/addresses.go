package zone

import (
	"cmp"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// addresses is the content of a reverse zone (RFC 1035 section 3.5, RFC 3596
// section 2.5).
type addresses struct{ *Zone }

// address is the instances at one address, by service and id.
type address struct {
	key     string // labels of its name below the origin, the other way round: "0.0.7"
	members []member
	ttl     least
	epoch   uint64
}

func (a *address) sortKey() string { return a.key }
func (a *address) published() bool { return len(a.members) > 0 }
func (a *address) bytes() int      { return 1024 + 8*len(a.members) }

// key returns where an instance is in the zone; false: it is not.
func (z addresses) key(in *registry.Instance) (string, bool) {
	if in == nil {
		return "", false
	}
	m := newMember(in)
	if _, ok := in.Published(); !ok || m.foreign() {
		return "", false
	}
	name, err := dns.ReverseAddr(m.Host)
	if err != nil {
		return "", false
	}
	above, ok := strings.CutSuffix(name, "."+z.origin)
	return turned(above), ok
}

// turned returns labels the other way round, without a dot at the end.
func turned(labels string) string {
	ls := strings.Split(labels, ".")
	slices.Reverse(ls)
	return strings.Join(ls, ".")
}

func (z addresses) keys(c *registry.Change) (keys []string) {
	old, was := z.key(c.Old)
	now, is := z.key(c.New)
	if was {
		keys = append(keys, old)
	}
	if is && !(was && old == now) {
		keys = append(keys, now)
	}
	return keys
}

func (z addresses) find(v *version, key string) part {
	if a, ok := v.addresses.find(key); ok {
		return a
	}
	return nil
}

func byKey(a, b member) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID))
}

func (z addresses) change(p part, key string, old, now *registry.Instance, epoch uint64) part {
	next := address{key: key, epoch: epoch}
	if a, ok := p.(*address); ok {
		next.members = slices.Clone(a.members)
	}
	for _, in := range []*registry.Instance{old, now} {
		if in == nil {
			continue
		}
		if i, ok := slices.BinarySearchFunc(next.members, newMember(in), byKey); ok {
			next.members = slices.Delete(next.members, i, i+1)
		}
	}
	if k, ok := z.key(now); ok && k == key {
		i, _ := slices.BinarySearchFunc(next.members, newMember(now), byKey)
		next.members = slices.Insert(next.members, i, newMember(now))
	}
	for _, m := range next.members {
		next.ttl = next.ttl.with(m.ttl())
	}
	return &next
}

func (z addresses) load(v *version, ms []member) {
	at := make(map[string]*address)
	for _, m := range ms {
		key, ok := z.key(m.Instance)
		if !ok {
			continue
		}
		a := at[key]
		if a == nil {
			a = &address{key: key, epoch: v.listing.epoch}
			at[key] = a
		}
		a.members = append(a.members, m)
		a.ttl = a.ttl.with(m.ttl())
		v.members++
	}
	all := make([]*address, 0, len(at))
	for _, a := range at {
		slices.SortFunc(a.members, byKey)
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *address) int { return strings.Compare(a.key, b.key) })
	v.addresses = listOf(all)
}

func (z addresses) replace(v *version, was, now part) {
	if old, ok := was.(*address); ok {
		v.members -= len(old.members)
		v.addresses = v.addresses.without(old.key)
	}
	if a, ok := now.(*address); ok {
		v.members += len(a.members)
		v.addresses = v.addresses.with(a)
	}
}

// names returns the PTR records of some of the instances at an address: two may
// only differ in the port, but each has a name of its own.
func (z addresses) names(a *address, ms []member) (rrs []dns.RR) {
	owner := turned(a.key) + "." + z.origin
	for _, m := range ms {
		rrs = append(rrs, ptrRR(owner, z.host(m), a.ttl.value))
	}
	return rrs
}

// host is the host name of an instance in the other zone.
func (z addresses) host(m member) string {
	return m.ID + "." + strings.ReplaceAll(m.Service, "_", "") + "." + z.forward
}

func (z addresses) each(v *version, yield func([]dns.RR) bool) {
	for a := range v.addresses.all() {
		if !yield(z.names(a, a.members)) {
			return
		}
	}
}

func (z addresses) compare(d *Delta, was, now part) {
	var old, is []dns.RR
	if a, ok := was.(*address); ok {
		old = z.names(a, a.members)
	}
	if a, ok := now.(*address); ok {
		is = z.names(a, a.members)
	}
	d.sets(old, is)
}

func (z addresses) records(v *version) int { return v.members }

// lookup answers for a name that is neither the apex nor a name server.
func (z addresses) lookup(v *version, name []byte, qtype uint16) Answer {
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return v.empty(false)
	}
	key := turned(strings.TrimSuffix(text, "."+z.origin))
	a, ok := v.addresses.find(key)
	if !ok {
		return v.empty(v.addresses.hasPrefix(key + "."))
	}
	if qtype != dns.TypePTR && qtype != dns.TypeANY {
		return v.empty(true)
	}
	room := z.room(len(name) - len(z.wire))
	ms, total := sample(a.members, a.epoch, room, func(m member) int { return recordSize + len(z.host(m)) + 1 })
	out := Answer{Answer: z.names(a, ms)}
	if total > 0 {
		return out.sample(total, z.names(a, slices.Collect(first(slices.Values(a.members)))))
	}
	return out
}
