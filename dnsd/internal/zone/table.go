package zone

import (
	"hash/maphash"
	"sync/atomic"
)

// table finds a service by the name in a question: open addressing with linear
// probing, one writer, any number of readers without locks. A reader sees an entry
// whole or not at all, because a slot is one pointer. The table is never more than
// half full: each further entry that a reader looks at is a cache miss.
type table struct {
	slots []atomic.Pointer[entry] // a power of two
	seed  maphash.Seed
	used  int // for the writer: slots that are not nil, removed ones included
	live  int // for the writer: slots with an entry
}

// entry is a service in one state, with its ready answers. The fields that a query
// needs come first: in a zone of a hundred thousand services each cache line that it
// touches is a miss.
type entry struct {
	hash    uint64
	name    [15]byte // of the service, unless it is longer (RFC 6335 section 5.1)
	length  uint8    // of the name, or long
	udp     bool
	large   bool // more than headMembers
	full    [kinds]atomic.Pointer[image]
	service *service                      // nil in removed
	head    *[kinds]atomic.Pointer[image] // nil for one that is not large
}

// long is the length of a name that does not fit entry.name.
const long = 255

func newEntry(hash uint64, s *service) *entry {
	e := &entry{hash: hash, service: s, udp: s.udp(), large: s.members.n > headMembers}
	name := s.name()
	if e.length = long; len(name) <= len(e.name) {
		e.length = uint8(copy(e.name[:], name))
	}
	if e.large {
		e.head = new([kinds]atomic.Pointer[image])
	}
	return e
}

// is tells whether the entry is that of a service.
func (e *entry) is(name []byte, udp bool) bool {
	if e.length == long {
		return e.service.is(name, udp)
	}
	return e.udp == udp && string(e.name[:e.length]) == string(name)
}

// removed takes the slot of an entry that was removed, so that a reader looks at the
// next slots as well. No label equals its name.
var removed = new(entry)

const minSlots = 64

func newTable(services int) *table {
	n := minSlots
	for n < services*3 {
		n *= 2
	}
	return &table{slots: make([]atomic.Pointer[entry], n), seed: maphash.MakeSeed()}
}

// hash of a service name in lower case, without underscore: "math".
func (t *table) hash(name []byte, udp bool) uint64 {
	h := maphash.Bytes(t.seed, name)
	if udp {
		return ^h
	}
	return h
}

// find returns the entry of a service, nil if there is none.
func (t *table) find(name []byte, udp bool) *entry {
	h := t.hash(name, udp)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		e := t.slots[i].Load()
		if e == nil {
			return nil
		}
		if e.hash == h && e.is(name, udp) {
			return e
		}
	}
}

// put enters a service or replaces its earlier state. It returns the table that
// holds it: a new one if this is too full.
func (t *table) put(s *service) *table {
	if (t.used+1)*2 > len(t.slots) {
		grown := newTable(t.live + 1)
		grown.seed = t.seed
		for i := range t.slots {
			if e := t.slots[i].Load(); e != nil && e.service != nil {
				grown.set(e)
			}
		}
		t = grown
	}
	t.set(newEntry(t.hash(s.name(), s.udp()), s))
	return t
}

// remove removes a service.
func (t *table) remove(s *service) {
	if slot := t.slot(t.hash(s.name(), s.udp()), s); slot.Load() != nil {
		slot.Store(removed)
		t.live--
	}
}

func (t *table) set(e *entry) {
	slot := t.slot(e.hash, e.service)
	if slot.Load() == nil {
		t.used++
		t.live++
	}
	slot.Store(e)
}

// slot returns the slot of a service, or the free one where it would be.
func (t *table) slot(hash uint64, s *service) *atomic.Pointer[entry] {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := t.slots[i].Load()
		if e == nil || e.service != nil && e.service.key == s.key {
			return &t.slots[i]
		}
	}
}
