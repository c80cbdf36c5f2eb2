package rpcclient

import (
	"fmt"
	"time"
)

// One timer serves all deadlines of a connection. It is armed for the earliest of
// them and, when it fires, for the earliest that is left: a call that is answered
// in time costs no timer of its own.

// deadlines is a heap of calls, the earliest deadline first.
type deadlines []*call

func (d *deadlines) add(cl *call) {
	*d = append(*d, cl)
	d.up(cl, len(*d)-1)
}

func (d *deadlines) remove(cl *call) {
	h := *d
	i, n := cl.slot-1, len(h)-1
	last := h[n]
	h[n] = nil
	*d = h[:n]
	cl.slot = 0
	if last != cl {
		d.down(last, i)
		d.up(last, last.slot-1)
	}
}

// up puts a call at i, or above.
func (d *deadlines) up(cl *call, i int) {
	h := *d
	for i > 0 {
		above := (i - 1) / 2
		if h[above].deadline <= cl.deadline {
			break
		}
		h[i] = h[above]
		h[i].slot = i + 1
		i = above
	}
	h[i] = cl
	cl.slot = i + 1
}

// down puts a call at i, or below.
func (d *deadlines) down(cl *call, i int) {
	h := *d
	for {
		below := 2*i + 1
		if below >= len(h) {
			break
		}
		if below+1 < len(h) && h[below+1].deadline < h[below].deadline {
			below++
		}
		if cl.deadline <= h[below].deadline {
			break
		}
		h[i] = h[below]
		h[i].slot = i + 1
		i = below
	}
	h[i] = cl
	cl.slot = i + 1
}

// armLocked makes the timer fire at the given time or before. c.mu is held.
func (c *conn) armLocked(at time.Duration) {
	if c.life < settled && (c.armed == 0 || at < c.armed) {
		c.armed = at
		c.timer.Reset(max(0, at-c.now()))
	}
}

// onTimer fails the calls that are too late, and pings a connection that was
// silent for too long. It may still run for a moment after the connection settled.
func (c *conn) onTimer() {
	now := c.now()
	var late []*call
	unanswered := false // a ping, and nothing else came either
	c.mu.Lock()
	if c.life == settled {
		c.mu.Unlock()
		return
	}
	read := c.lastSign(now)
	c.armed = 0
	for len(c.deadlines) > 0 && c.deadlines[0].deadline <= now {
		cl := c.deadlines[0]
		if cl == c.ping && read <= cl.start {
			unanswered = true
		}
		if read <= cl.start {
			// Nothing came since it was sent: is anybody there?
			read = min(read, now-c.pingEvery)
		}
		late = append(late, c.giveUpLocked(cl.seq))
	}
	if len(c.deadlines) > 0 {
		c.armLocked(c.deadlines[0].deadline)
	}
	ping := false
	if c.pingEvery > 0 && c.life == open {
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
	// A server that works on one request after the other answers no ping before it has
	// answered the calls: those in flight keep their time. New ones go elsewhere, for it
	// may as well be hung.
	busy := len(c.pending) > 0 && !c.prompt.Load()
	c.mu.Unlock()

	for _, cl := range late {
		cl.finish(Maybe, timeoutError{cl.limit})
	}
	switch {
	case unanswered && busy:
		c.retire(fmt.Errorf("%w within %v", errSilent, c.pingWait))
	case unanswered:
		c.fail(fmt.Errorf("%w within %v", errSilent, c.pingWait))
	case last:
		c.fail(errRetired)
	case ping:
		c.sendPing()
	}
}
