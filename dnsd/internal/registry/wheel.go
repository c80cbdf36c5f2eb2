package registry

import "time"

// tick is how exact leases end. A tenth of a second late is far below the
// shortest lease, and twenty wake-ups a second cost nothing.
const tick = 50 * time.Millisecond

const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4 // 64^4 ticks are 9.7 days; what is due later is looked at again then
	unscheduled = ^uint16(0)
)

// wheel is a hierarchical timing wheel: add, remove and expiry cost O(1) a
// lease, whatever else is waiting. Entries are linked through themselves. A
// deadline may move later while its entry is scheduled (a renewal then costs the
// wheel nothing): whoever is handed an entry looks at its deadline and adds it
// again.
type wheel struct {
	slots [wheelLevels * wheelSlots]*entry
	now   int64 // in ticks: what was due by then has been handed out
	cut   bool  // but for what is left of the last tick
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

// advance hands out, in no order, what was scheduled up to now. What it hands
// out is not scheduled any more. It touches at most about limit entries; false:
// there is more, call again.
func (w *wheel) advance(now time.Duration, limit int, due func(*entry)) (done bool) {
	target := int64(now / tick)
	for w.cut || w.now < target {
		if !w.cut {
			w.now++
		}
		w.cut = true // until this tick is done
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
		w.cut = false
	}
	return true
}

// empty hands out a slot and returns what is left of limit; 0: there may be more.
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
