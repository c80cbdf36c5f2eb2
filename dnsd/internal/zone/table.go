package zone

import (
	"hash/maphash"
	"sync/atomic"
)

// table finds a service by its name as asked: open addressing with linear
// probing, one writer, any number of readers without locks. A reader sees an
// entry whole or not at all, because a slot is one pointer. It is never more
// than three quarters full.
type table struct {
	slots []atomic.Pointer[entry] // a power of two
	seed  maphash.Seed
	used  int // the writer's: slots that are not nil, removed included
	live  int // of these, entries
}

// entry is a service in one state, with the answers that are ready.
type entry struct {
	hash    uint64
	service *service // nil: removed, but others may lie behind
	full    [kinds]atomic.Pointer[image]
	head    [kinds]atomic.Pointer[image] // of those that are large
}

const minSlots = 64

func newTable(services int) *table {
	n := minSlots
	for n < services*2 {
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
		if e.hash == h && e.service != nil && e.service.is(name, udp) {
			return e
		}
	}
}

// put enters a service in the place of its former self; it returns the table
// that holds it, a new one if this is too full.
func (t *table) put(s *service) *table {
	if (t.used+1)*4 > len(t.slots)*3 {
		grown := newTable(t.live + 1)
		grown.seed = t.seed
		for i := range t.slots {
			if e := t.slots[i].Load(); e != nil && e.service != nil {
				grown.set(e)
			}
		}
		t = grown
	}
	t.set(&entry{hash: t.hash(s.name(), s.udp()), service: s})
	return t
}

// remove takes a service out.
func (t *table) remove(s *service) {
	if slot := t.slot(t.hash(s.name(), s.udp()), s); slot.Load() != nil {
		slot.Store(&entry{})
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

// slot returns where the service is, or the free slot where it would be.
func (t *table) slot(hash uint64, s *service) *atomic.Pointer[entry] {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := t.slots[i].Load()
		if e == nil || e.service != nil && e.service.key == s.key {
			return &t.slots[i]
		}
	}
}
