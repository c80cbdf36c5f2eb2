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

// address holds the instances at one address, sorted by service and id.
type address struct {
	key     string // labels of its name below the origin, reversed: "0.0.7"
	members []member
	ttl     least
	images
}

func (a *address) sortKey() string  { return a.key }
func (a *address) hasRecords() bool { return len(a.members) > 0 }
func (a *address) bytes() int       { return 1024 + 8*len(a.members) }

// key returns the key of the address of an instance; false if it is not in the zone.
func (z addresses) key(in *registry.Instance) (string, bool) {
	if !z.publishable(in) {
		return "", false
	}
	m := newMember(in)
	if m.foreign() {
		return "", false
	}
	name, err := dns.ReverseAddr(m.Host)
	if err != nil {
		return "", false
	}
	above, ok := strings.CutSuffix(name, "."+z.origin)
	return turned(above), ok
}

// turned returns labels in reverse order, without a dot at the end.
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

func (z addresses) change(p part, key string, old, now *registry.Instance) part {
	next := address{key: key}
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
			a = &address{key: key}
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

// names returns the PTR records of some of the instances at an address. Two may
// differ only in the port, but each has its own name.
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

func (z addresses) differ(was, now *version, yield func(string, bool)) {
	for a, b := range changed(was.addresses, now.addresses) {
		yield(cmp.Or(a, b).key, a != nil && b != nil)
	}
}

func (z addresses) records(v *version) int { return v.members }

// lookup answers for a name that is neither the apex nor a name server.
func (z addresses) lookup(v *version, name []byte, qtype uint16) Answer {
	a, exists := z.at(v, name)
	switch {
	case a == nil:
		return v.empty(exists)
	case qtype != dns.TypePTR && qtype != dns.TypeANY:
		return v.empty(true)
	}
	ms, total := z.sample(a)
	out := Answer{Answer: z.names(a, ms)}
	if total > 0 {
		return out.sample(total, z.names(a, slices.Collect(first(slices.Values(a.members)))))
	}
	return out
}

// append answers as lookup does, from an image.
func (z addresses) append(msg, name []byte, p place, qtype uint16, limit int) ([]byte, Counts, bool) {
	a, exists := z.at(z.current.Load(), name)
	switch {
	case a == nil:
		return z.negative(msg, p, exists, limit)
	case qtype != dns.TypePTR && qtype != dns.TypeANY:
		return z.negative(msg, p, true, limit)
	}
	im := z.image(a.places(len(a.members)), len(msg), limit, func(head bool) *image { return z.paint(a, head) })
	out, c := im.appendTo(msg, limit)
	return out, c, true
}

// at returns what is at a name in the zone, and whether the name exists.
func (z addresses) at(v *version, name []byte) (*address, bool) {
	// The key has the labels in reverse order. With a dot after it, it is the
	// prefix of all keys below the name.
	var buf [maxName]byte
	dot := len(buf) - 1
	buf[dot] = '.'
	i := dot
	for rest := name[:len(name)-len(z.wire)]; len(rest) > 0; {
		label := rest[1 : 1+int(rest[0])]
		rest = rest[1+len(label):]
		if i < dot {
			i--
			buf[i] = '.'
		}
		i -= len(label)
		for j, c := range label {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return nil, false // not a label of an address
			}
			buf[i+j] = c
		}
	}
	if a, ok := v.addresses.find(string(buf[i:dot])); ok {
		return a, true
	}
	return nil, v.addresses.hasPrefix(string(buf[i:]))
}

// sample returns the instances for an answer, and if they are not all of them, the
// number of all.
func (z addresses) sample(a *address) ([]member, int) {
	return sample(a.members, z.draw(), z.room(len(a.key)+1), func(m member) int { return recordSize + len(z.host(m)) + 1 })
}

// paint makes the image of the names at an address: whole, or only its head.
func (z addresses) paint(a *address, head bool) *image {
	owner := wireName(turned(a.key) + "." + z.origin)
	p := &painter{base: headerSize + len(owner) + 4, max: maxMessage}
	ms := a.members
	if head {
		p.max = headSize
	} else {
		ms, p.total = z.sample(a)
	}
	seen := newNames(owner)
	for _, m := range ms {
		p.data = appendHead(p.data, headerSize, dns.TypePTR, a.ttl.value, 0)
		data := len(p.data)
		p.data = seen.append(p.data, p.base, appendName(nil, z.host(m)))
		setLength(p.data, data)
		if p.partial = !p.close(); p.partial {
			break
		}
	}
	p.answers = len(p.ends)
	return p.done()
}
