package registry

import "time"

// stallAfter is the gap between two readings of the clock from which on we, not
// the instances, were asleep. Run reads it every tick.
const stallAfter = 500 * time.Millisecond

// clock is the time by which leases run: monotonic, and standing still while
// nobody reads it (SIGSTOP, a suspended machine, Run not running). So a stall is
// added to every deadline at once, in O(1). Readings are time since it began.
type clock struct {
	base    time.Time
	last    time.Duration // monotonic time at the last reading
	now     time.Duration // lease time at the last reading
	stalled time.Duration // what was left out in all
	stalls  uint64
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

// peek tells what read would return, and changes nothing.
func (c *clock) peek() time.Duration {
	d := *c
	return d.read()
}
