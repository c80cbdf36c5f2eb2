package shed

import (
	"math"
	"time"
)

const (
	// window is how long calls are measured before the limit changes. It is short beside
	// the second that people wait, and long beside most calls.
	window = 100 * time.Millisecond
	// windowCalls makes a mean of few slow calls one of at least so many.
	windowCalls = 10
	// probeEvery is how often the base is measured. A probe costs half of the limit for
	// about the time of a call and a window, so this is one or two of a hundred.
	probeEvery = 10 * time.Second
	// probePatience is how many times the base a probe waits for calls that began before it.
	// Those that take longer are not like the others.
	probePatience = 10
	// smoothing is the part of each change that is made: single windows vary.
	smoothing = 0.2
	// steepest is how much of the limit one window leaves at least.
	steepest = 0.5
)

// control finds the limit. It is pure: callers give the time, which never runs backwards.
type control struct {
	least, most float64
	tolerance   float64

	limit    float64
	inFlight int
	peak     int           // of inFlight in this window
	base     time.Duration // what a call takes that does not wait; 0: not known yet
	began    time.Duration // the window
	calls    int           // that ended in the window
	took     time.Duration // all of them together

	probed     time.Duration // when the last probe ended
	probing    bool
	probe      uint32        // number of the probe
	probeBegan time.Duration // the probe
	probeCalls int           // that began in it
	baseCalls  int           // of these, that ended
	baseTook   time.Duration
}

// ticket is a call under way.
type ticket struct {
	began time.Duration
	probe uint32 // it began in this probe, without a queue before it; 0: in none
}

// allowed is how many calls may run now.
func (c *control) allowed() int {
	if c.probing {
		return int(max(math.Floor(c.limit/2), 1))
	}
	return int(c.limit)
}

// begin asks for a call to run; false: it is refused.
func (c *control) begin(now time.Duration) (ticket, bool) {
	if !c.probing && c.base > 0 && now-c.probed >= probeEvery {
		c.probing, c.probeBegan = true, now
		c.probe++
		c.probeCalls, c.baseCalls, c.baseTook = 0, 0, 0
	}
	if c.probing && c.stuck(now) {
		c.endProbe(now)
	}
	if c.inFlight >= c.allowed() {
		return ticket{}, false
	}
	c.inFlight++
	c.peak = max(c.peak, c.inFlight)
	t := ticket{began: now}
	if c.probing {
		t.probe = c.probe // what ran before the probe is at most half of the limit by now
		c.probeCalls++
	}
	return t, true
}

// stuck reports whether the probe finds nothing out: calls that take very long are half of
// the limit, so that no other begins, or those that have begun do not end.
func (c *control) stuck(now time.Duration) bool {
	return now-c.probeBegan >= probeEvery ||
		c.probeCalls == 0 && now-c.probeBegan >= max(window, probePatience*c.base)
}

// cut takes a call that ended because its caller has gone. It would have taken longer, so
// that a short time says nothing.
func (c *control) cut(now time.Duration, t ticket) {
	if c.base == 0 || now-t.began < c.base {
		c.inFlight--
		return
	}
	c.end(now, t)
}

// end takes the time of a call.
func (c *control) end(now time.Duration, t ticket) {
	c.inFlight--
	took := max(now-t.began, 1)
	if c.probing {
		if t.probe == c.probe {
			c.baseCalls++
			c.baseTook += took
		}
		if c.baseCalls >= windowCalls || now-c.probeBegan >= probeEvery {
			c.endProbe(now)
		}
		return
	}
	c.calls++
	c.took += took
	if c.calls < windowCalls || now-c.began < window {
		return
	}
	mean := c.took / time.Duration(c.calls)
	if c.base == 0 || mean < c.base {
		c.base = mean
	}
	c.adjust(mean)
	c.nextWindow(now)
}

func (c *control) endProbe(now time.Duration) {
	if c.baseCalls > 0 {
		c.base = c.baseTook / time.Duration(c.baseCalls)
	}
	c.probing, c.probed = false, now
	c.nextWindow(now)
}

func (c *control) nextWindow(now time.Duration) {
	c.began, c.calls, c.took, c.peak = now, 0, 0, c.inFlight
}

// adjust changes the limit after a window.
func (c *control) adjust(mean time.Duration) {
	gradient := min(max(c.tolerance*float64(c.base)/float64(mean), steepest), 1)
	next := c.limit * gradient
	if gradient == 1 {
		if float64(c.peak) < c.limit/2 {
			return
		}
		next += math.Sqrt(c.limit)
	}
	c.limit = min(max(c.limit+smoothing*(next-c.limit), c.least), c.most)
}
