package conn

import (
	"context"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// sendPing pings in the background.
func (c *Conn) sendPing() {
	req := c.newPing()
	c.mu.Lock()
	if c.life != open || c.ping != nil {
		c.mu.Unlock()
		return
	}
	c.ping = req
	c.armLocked(req.Start + c.pingIntervalLocked())
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

const (
	// awayInterval is how often a server is pinged that takes no calls at present. It is
	// the time after which calls come back to it, and few enough for a thousand clients.
	awayInterval = 2 * time.Second
	// doubtInterval bounds the pings that doubtService causes.
	doubtInterval = time.Second
)

// pingIntervalLocked is how long the connection may be silent before it is pinged.
func (c *Conn) pingIntervalLocked() time.Duration {
	if c.away {
		return min(awayInterval, c.PingInterval)
	}
	return c.PingInterval
}

// pinged takes what the answer to a ping says.
func (c *Conn) pinged(resp *rpcwire.Response) {
	if resp.Knows != 0 {
		c.knows.Store(uint32(resp.Knows))
	}
	c.mu.Lock()
	if c.away = resp.NotExecuted; c.away && c.PingInterval > 0 {
		c.armLocked(c.Now() + c.pingIntervalLocked())
	}
	c.mu.Unlock()
	c.owner.Serving(c, !resp.NotExecuted)
}

// doubtService asks whether the server takes calls at present, when a request was refused
// although its last ping said so, or was not refused although it said the opposite: on a
// busy connection there is no silence in which it would be pinged.
func (c *Conn) doubtService(refused bool) {
	now := c.Now()
	c.mu.Lock()
	ask := c.PingInterval > 0 && c.away != refused && now >= c.doubtAt
	if ask {
		c.doubtAt = now + doubtInterval
	}
	c.mu.Unlock()
	if ask {
		c.sendPing()
	}
}

// Doubt pings the connection at once if nothing has come on it since the given time, when
// a request was sent. A request that meets its deadline causes the same in onTimer.
func (c *Conn) Doubt(since time.Duration) {
	if c.PingInterval > 0 && c.lastSign(c.Now()) <= since {
		c.sendPing()
	}
}

// Tests: ping_test.go, torture_test.go.
