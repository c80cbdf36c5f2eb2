package conn

import (
	"context"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// sendPing pings in the background. That an answer comes is all that matters.
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
	// If it would have to wait, requests are on their way, and the next ping is soon enough.
	if err := c.SendNow(context.Background(), req); err != nil {
		c.mu.Lock()
		if c.ping == req {
			c.ping = nil
		}
		c.mu.Unlock()
	}
}

// Doubt pings the connection at once if nothing has come on it since the given time, when
// a request was sent. A request that meets its deadline causes the same in onTimer.
func (c *Conn) Doubt(since time.Duration) {
	if c.PingInterval > 0 && c.lastSign(c.Now()) <= since {
		c.sendPing()
	}
}

// Tests: torture_test.go.
