package conn

import (
	"context"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// sendPing pings in the background. Its answer is worth nothing but its arrival.
func (c *Conn) sendPing() {
	now := c.Now()
	req := &Request{Method: rpcwire.PingMethod, Args: struct{}{}, Start: now, Deadline: now + c.PingTimeout, Limit: pingLimit, Done: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.life != open || c.ping != nil {
		c.mu.Unlock()
		return
	}
	c.ping = req
	c.armLocked(now + c.PingInterval)
	c.mu.Unlock()
	// With no turn or room at once, calls are on their way and the next time will do.
	if err := c.SendNow(context.Background(), req); err != nil {
		c.mu.Lock()
		if c.ping == req {
			c.ping = nil
		}
		c.mu.Unlock()
	}
}

// Doubt pings at once a connection on which nothing has come since the call was
// sent. (A call that meets its own deadline does the same in onTimer.)
func (c *Conn) Doubt(since time.Duration) {
	if c.PingInterval > 0 && c.lastSign(c.Now()) <= since {
		c.sendPing()
	}
}
