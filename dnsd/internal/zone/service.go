package zone

import (
	"cmp"
	"iter"
	"math"
	"net/netip"
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// service holds the published instances of one service. It is immutable; each change
// makes a new one. It holds only instances that are in the answers: not a drained
// one.
type service struct {
	key     string // "_math._tcp"
	members list[member]

	ttl      least // of all members: for the SRV and PTR sets
	ttl4     least // of those with an IPv4 address: for the A set of the host name
	ttl6     least // the same for IPv6
	priority least // as published
	foreign  int   // members whose host is a name

	txts list[txt] // of members with more than fewPairs of meta
}

func (s *service) sortKey() string { return s.key }

// name is the name of the service without its underscore: "math".
func (s *service) name() []byte { return []byte(s.key[1 : len(s.key)-len("._tcp")]) }

func (s *service) udp() bool { return s.key[len(s.key)-3] == 'u' }

// is tells whether the service has that name.
func (s *service) is(name []byte, udp bool) bool {
	return s.udp() == udp && s.key[1:len(s.key)-len("._tcp")] == string(name)
}

func (s *service) hasRecords() bool { return s.members.n > 0 }

// bytes is the chunk and the directory that a change copied, and an instance with
// its meta, about.
func (s *service) bytes() int {
	return 1024 + 24*len(s.members.chunks) + 24*min(s.members.n, chunkSize)
}

// hosts tells whether the service has a host name with addresses.
func (s *service) hosts() bool { return s != nil && s.ttl4.total+s.ttl6.total > 0 }

// uniform tells whether all members share one priority, so that the order of
// the answer is that of the ids.
func (s *service) uniform() bool { return s.priority.count == s.priority.total }

// change returns the service without old and, if publish, with now. Either may be
// nil. s does not change and may be nil.
func (s *service) change(key string, old, now *registry.Instance, publish bool) *service {
	next := service{key: key}
	if s != nil {
		next = *s
	}
	// The sums are corrected by the member found in the set, not by old, which may be
	// out of date.
	if now != nil {
		was, found := next.members.find(now.ID)
		if publish {
			m := newMember(now)
			next.members = next.members.with(m)
			next.txts = withTXT(next.txts, m)
			next.count(m, 1)
		} else if found {
			next.members = next.members.without(now.ID)
			next.txts = next.txts.without(now.ID)
		}
		if found {
			next.count(was, -1)
		}
	}
	if old != nil && (now == nil || old.ID != now.ID) {
		if was, found := next.members.find(old.ID); found {
			next.members = next.members.without(old.ID)
			next.txts = next.txts.without(old.ID)
			next.count(was, -1)
		}
	}
	return &next
}

// newService makes a service of published instances sorted by id.
func newService(key string, members []member) *service {
	s := &service{key: key, members: listOf(members)}
	var txts []txt
	for _, m := range members {
		s.count(m, 1)
		if len(m.Meta) > fewPairs {
			txts = append(txts, newTXT(m))
		}
	}
	s.txts = listOf(txts)
	return s
}

// count adds a member to the sums, or removes it with n = -1. s.members must already
// be as it will be: a sum that has lost its lowest member is counted again.
func (s *service) count(m member, n int) {
	enter := func(l *least, v uint32, of func(member) (uint32, bool)) {
		if n > 0 {
			*l = l.with(v)
			return
		}
		if *l = l.without(v); l.count == 0 && l.total > 0 {
			*l = least{}
			for m := range s.members.all() {
				if v, ok := of(m); ok {
					*l = l.with(v)
				}
			}
		}
	}
	ttl := m.ttl()
	enter(&s.ttl, ttl, func(m member) (uint32, bool) { return m.ttl(), true })
	enter(&s.priority, uint32(m.priority()), func(m member) (uint32, bool) { return uint32(m.priority()), true })
	switch a, ok := m.addr(); {
	case !ok:
		s.foreign += n
	case a.Is4():
		enter(&s.ttl4, ttl, func(m member) (uint32, bool) { a, ok := m.addr(); return m.ttl(), ok && a.Is4() })
	default:
		enter(&s.ttl6, ttl, func(m member) (uint32, bool) { a, ok := m.addr(); return m.ttl(), ok && !a.Is4() })
	}
}

// member returns the published instance with that id.
func (s *service) member(id []byte) (member, bool) {
	// As list.find, but for octets, and without a look at each instance itself.
	if len(id) == 0 || id[len(id)-1] == 0 {
		return member{}, false // a prefix is padded with zeros, and would match
	}
	p, chunks := prefix(id), s.members.chunks
	lo, hi := 0, len(chunks)
	for lo < hi {
		if m := int(uint(lo+hi) / 2); chunks[m][0].compare(p, id) <= 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return member{}, false
	}
	chunk := chunks[lo-1]
	lo, hi = 0, len(chunk)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		switch c := chunk[m].compare(p, id); {
		case c == 0:
			return chunk[m], true
		case c < 0:
			lo = m + 1
		default:
			hi = m
		}
	}
	return member{}, false
}

// inOrder yields the members in the order of the answers: by priority as published,
// then by id. So an answer that is cut loses the highest priority numbers first, and
// two answers of one revision never differ. The first members are cheap to find,
// however many follow.
func (s *service) inOrder() iter.Seq[member] {
	if s.uniform() {
		return s.members.all()
	}
	return func(yield func(member) bool) {
		// One pass for each priority. There are few: some tiers for failover, and
		// those of suspects.
		const passes = 8
		at := int(s.priority.value)
		for range passes {
			next := math.MaxInt
			for m := range s.members.all() {
				switch p := int(m.priority()); {
				case p == at:
					if !yield(m) {
						return
					}
				case p > at:
					next = min(next, p)
				}
			}
			if next == math.MaxInt {
				return
			}
			at = next
		}
		rest := slices.DeleteFunc(slices.Collect(s.members.all()), func(m member) bool { return int(m.priority()) < at })
		slices.SortStableFunc(rest, func(a, b member) int { return cmp.Compare(a.priority(), b.priority()) })
		for _, m := range rest {
			if !yield(m) {
				return
			}
		}
	}
}

// srvs yields the members that have a record in the SRV set: all but those with the
// same target, port, priority and weight as one before (a record set holds no record
// twice, RFC 2181 section 5). Two members can have the same target only if a name
// was registered.
func (s *service) srvs(z *Zone) iter.Seq[member] {
	if s.foreign == 0 {
		return s.inOrder()
	}
	type rdata struct {
		priority, weight, port uint16
		target                 string
	}
	return once(s.inOrder(), func(m member) (rdata, bool) {
		return rdata{m.priority(), m.Weight, m.Port, z.target(s, m)}, true
	})
}

// addresses yields the members that have a record in the address set of the host
// name, of one family: of several with one address the first.
func (s *service) addresses(v4 bool) iter.Seq[member] {
	return once(s.inOrder(), func(m member) (netip.Addr, bool) {
		a, ok := m.addr()
		return a, ok && a.Is4() == v4
	})
}

// once yields the first member with each key. Members without a key are left out.
func once[K comparable](ms iter.Seq[member], key func(member) (K, bool)) iter.Seq[member] {
	return func(yield func(member) bool) {
		few := make([]K, 0, 16) // most services are small
		var many map[K]bool
		for m := range ms {
			k, ok := key(m)
			if !ok || many[k] || many == nil && slices.Contains(few, k) {
				continue
			}
			switch {
			case many != nil:
				many[k] = true
			case len(few) < cap(few):
				few = append(few, k)
			default:
				many = map[K]bool{k: true}
				for _, k := range few {
					many[k] = true
				}
			}
			if !yield(m) {
				return
			}
		}
	}
}

// least is the minimum of a multiset of numbers and how often it is there. All
// numbers need to be read again only when the last minimum is removed.
type least struct {
	value uint32
	count int // how many of them equal value
	total int // how many numbers there are
}

func (l least) with(v uint32) least {
	l.total++
	switch {
	case l.count == 0 || v < l.value:
		l.value, l.count = v, 1
	case v == l.value:
		l.count++
	}
	return l
}

func (l least) without(v uint32) least {
	l.total--
	if v == l.value {
		l.count--
	}
	return l
}

// Tests: reference_test.go, sample_test.go.
