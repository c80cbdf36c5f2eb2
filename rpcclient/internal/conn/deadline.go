package conn

import (
	"fmt"
	"time"
)

// One timer serves all deadlines of a connection. It is armed for the earliest of
// them and, when it fires, for the earliest that is left: a request that is answered
// in time costs no timer.

// deadlines is a heap of requests, the earliest deadline first.
type deadlines []*Request

func (d *deadlines) add(req *Request) {
	*d = append(*d, req)
	d.up(req, len(*d)-1)
}

func (d *deadlines) remove(req *Request) {
	h := *d
	i, n := req.slot-1, len(h)-1
	last := h[n]
	h[n] = nil
	*d = h[:n]
	req.slot = 0
	if last != req {
		d.down(last, i)
		d.up(last, last.slot-1)
	}
}

// up puts a request at i, or above.
func (d *deadlines) up(req *Request, i int) {
	h := *d
	for i > 0 {
		above := (i - 1) / 2
		if h[above].Deadline <= req.Deadline {
			break
		}
		h[i] = h[above]
		h[i].slot = i + 1
		i = above
	}
	h[i] = req
	req.slot = i + 1
}

// down puts a request at i, or below.
func (d *deadlines) down(req *Request, i int) {
	h := *d
	for {
		below := 2*i + 1
		if below >= len(h) {
			break
		}
		if below+1 < len(h) && h[below+1].Deadline < h[below].Deadline {
			below++
		}
		if req.Deadline <= h[below].Deadline {
			break
		}
		h[i] = h[below]
		h[i].slot = i + 1
		i = below
	}
	h[i] = req
	req.slot = i + 1
}

// armLocked makes the timer fire at the given time or before. c.mu is held.
func (c *Conn) armLocked(at time.Duration) {
	if c.life < settled && (c.armed == 0 || at < c.armed) {
		c.armed = at
		c.timer.Reset(max(0, at-c.Now()))
	}
}

// pingDueLocked tells whether a ping is to be sent now, and else arms the timer for it. read
// is when the server last gave a sign of life.
func (c *Conn) pingDueLocked(now, read time.Duration) bool {
	interval := c.pingIntervalLocked()
	switch {
	case interval == 0 || c.life != open:
		return false
	case c.ping != nil:
		c.armLocked(now + interval)
		return false
	case now-read < interval:
		c.armLocked(read + interval)
		return false
	}
	return true
}

// onTimer fails the requests that are too late, and pings a connection that was
// silent for too long. It may still run for a moment after the connection has settled.
func (c *Conn) onTimer() {
	now := c.Now()
	var late []*Request
	unanswered := false // a ping was not answered, and nothing else came either
	cancel := false
	c.mu.Lock()
	if c.life == settled {
		c.mu.Unlock()
		return
	}
	read := c.lastSign(now)
	c.armed = 0
	for len(c.deadlines) > 0 && c.deadlines[0].Deadline <= now {
		req := c.deadlines[0]
		if req == c.ping && read <= req.Start {
			unanswered = true
		}
		if read <= req.Start {
			// Nothing came since it was sent: the server may be dead, so it is pinged.
			read = min(read, now-c.PingInterval)
		}
		late = append(late, c.takeLocked(req.seq))
		cancel = c.cancelLocked(req) || cancel
	}
	if len(c.deadlines) > 0 {
		c.armLocked(c.deadlines[0].Deadline)
	}
	ping := c.pingDueLocked(now, read)
	last := c.lastLocked()
	// A server that works on one request after the other answers no ping before it has
	// answered the requests in flight: these keep their time. New ones go elsewhere,
	// because the server may as well be hung.
	busy := len(c.pending) > 0 && !c.prompt.Load()
	c.mu.Unlock()

	if cancel {
		c.sendCancels()
	}
	for _, req := range late {
		req.finish(Maybe, TimeoutError{req.Limit})
	}
	switch {
	case unanswered && busy:
		c.Retire(fmt.Errorf("%w within %v", ErrSilent, c.PingTimeout))
	case unanswered:
		c.Fail(fmt.Errorf("%w within %v", ErrSilent, c.PingTimeout))
	case last:
		c.Fail(ErrRetired)
	case ping:
		c.sendPing()
	}
}
