package registry

import "time"

// stallAfter is the longest gap between two readings of the clock that is not a stall.
// Run reads the clock every tick. After a longer gap this process was asleep, and not
// the instances.
const stallAfter = 500 * time.Millisecond

// clock is the time by which leases run. It is monotonic, and stands still while it is
// not read: after SIGSTOP, while the machine is suspended, while Run does not run. This
// moves every deadline by the length of a stall, in O(1). A reading is the time since
// the clock began.
type clock struct {
	base    time.Time
	last    time.Duration // monotonic time at the last reading
	now     time.Duration // lease time at the last reading
	stalled time.Duration // the sum of the stalls
	stalls  uint64        // how many there were
	begun   bool          // Run has begun
}

func newClock() clock { return clock{base: time.Now()} }

// read advances the clock.
func (c *clock) read() time.Duration {
	t := time.Since(c.base)
	gap := t - c.last
	step := gap
	if gap > stallAfter {
		step = tick
		c.stalled += gap - step
		c.stalls++
	}
	c.last = t
	c.now += step
	return c.now
}

// begin is called when Run begins. The first time, what was before is no stall: the parts
// of dnsd that start before may take long.
func (c *clock) begin() {
	if !c.begun {
		c.begun = true
		c.last = time.Since(c.base)
	}
}

// peek returns what read would return, and changes nothing.
func (c *clock) peek() time.Duration {
	d := *c
	return d.read()
}
