package registry

import "time"

// tick is how often Run looks at leases. It is far below the shortest lease, and twenty
// wake-ups a second cost next to nothing. Run wakes up also while there is no lease, because
// the clock finds that this process stood still by readings that come late: see stallAfter.
const tick = 50 * time.Millisecond

const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4 // 64^4 ticks are 9.7 days; an entry that is due later is looked at again then
	unscheduled = ^uint16(0)
)

// wheel is a hierarchical timing wheel: add, remove and expiry cost O(1) a lease, however
// many leases there are. Entries are linked through themselves. A renewal costs the
// wheel nothing: the deadline of an entry may move later while the entry is scheduled.
// The caller of advance looks at the deadline of each entry, and adds the entry again if
// it is not due.
type wheel struct {
	slots   [wheelLevels * wheelSlots]*entry
	now     int64 // in ticks: entries that were due by then were handed out
	partial bool  // advance stopped at its limit; the slot of now is not empty yet
}

// add schedules e for the first tick not before its deadline.
func (w *wheel) add(e *entry) { w.place(e, w.now+1) }

// place schedules e for its deadline, but not before earliest.
func (w *wheel) place(e *entry, earliest int64) {
	due := max(int64((e.deadline+tick-1)/tick), earliest)
	level, delta := 0, due-w.now
	for level < wheelLevels-1 && delta >= 1<<(wheelBits*(level+1)) {
		level++
	}
	if limit := int64(1)<<(wheelBits*wheelLevels) - 1; delta > limit {
		due = w.now + limit
	}
	slot := level*wheelSlots + int(due>>(wheelBits*level))&(wheelSlots-1)
	e.slot = uint16(slot)
	e.prev, e.next = nil, w.slots[slot]
	if e.next != nil {
		e.next.prev = e
	}
	w.slots[slot] = e
}

// remove takes e out, if it is in.
func (w *wheel) remove(e *entry) {
	if e.slot == unscheduled {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		w.slots[e.slot] = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.prev, e.next, e.slot = nil, nil, unscheduled
}

// advance hands out, in no order, the entries that were scheduled up to now. They are not
// scheduled any more. It touches at most about limit entries. It returns false if there
// are more: then call it again.
func (w *wheel) advance(now time.Duration, limit int, due func(*entry)) (done bool) {
	target := int64(now / tick)
	for w.partial || w.now < target {
		if !w.partial {
			w.now++
		}
		w.partial = true // until this tick is done
		for level := 1; level < wheelLevels; level++ {
			if w.now&(1<<(wheelBits*level)-1) != 0 {
				break
			}
			slot := level*wheelSlots + int(w.now>>(wheelBits*level))&(wheelSlots-1)
			if limit = w.empty(slot, limit, func(e *entry) {
				w.place(e, w.now) // the slot of now is emptied below
			}); limit <= 0 {
				return false
			}
		}
		if limit = w.empty(int(w.now&(wheelSlots-1)), limit, due); limit <= 0 {
			return false
		}
		w.partial = false
	}
	return true
}

// empty hands out the entries of a slot. It returns the rest of limit; 0 says that there
// may be more entries.
func (w *wheel) empty(slot, limit int, each func(*entry)) (left int) {
	for ; limit > 0; limit-- {
		e := w.slots[slot]
		if e == nil {
			return limit
		}
		w.remove(e)
		each(e)
	}
	return 0
}
