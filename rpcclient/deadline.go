package rpcclient

import (
	"fmt"
	"time"
)

// One timer serves all deadlines of a connection. It is armed for the earliest of
// them and, when it fires, for the earliest that is left: a call that is answered
// in time costs no timer of its own.

// armLocked makes the timer fire at the given time or before. c.mu is held.
func (c *conn) armLocked(at time.Duration) {
	if c.err == nil && (c.armed == 0 || at < c.armed) {
		c.armed = at
		c.timer.Reset(max(0, at-c.now()))
	}
}

// onTimer fails the calls that are too late, and pings a connection that was
// silent for too long. It may still run for a moment after the connection ended.
func (c *conn) onTimer() {
	now := c.now()
	var late []*call
	silent := false
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	read := time.Duration(c.lastRead.Load())
	c.armed = 0
	for seq, cl := range c.pending {
		if cl.deadline == 0 {
			continue
		}
		if cl.deadline > now {
			c.armLocked(cl.deadline)
			continue
		}
		if cl == c.ping && read <= cl.start {
			silent = true
		}
		if read <= cl.start {
			// Nothing came since it was sent: is anybody there?
			read = min(read, now-c.pingEvery)
		}
		late = append(late, c.giveUpLocked(seq))
	}
	ping := false
	if c.pingEvery > 0 {
		switch {
		case c.ping != nil:
			c.armLocked(now + c.pingEvery)
		case now-read >= c.pingEvery:
			ping = true
		default:
			c.armLocked(read + c.pingEvery)
		}
	}
	last := c.lastLocked()
	c.mu.Unlock()

	for _, cl := range late {
		cl.finish(Maybe, timeoutError{now - cl.start})
	}
	switch {
	case silent:
		c.fail(fmt.Errorf("%w within %v", errSilent, c.pingWait))
	case last:
		c.fail(errRetired)
	case ping:
		c.sendPing()
	}
}
