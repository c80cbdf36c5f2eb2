package rpcclient

import (
	"context"
	"net/rpc"
	"strconv"
	"strings"
	"time"
)

// A ping is a call of a method that does not exist. Every net/rpc server answers
// it, with an error, from the loop that reads requests: so it is answered however
// slow the methods are, and by nobody who only accepts connections.
const pingMethod = "_rollcall.Ping"

// sendPing pings in the background. Its answer is worth nothing but its arrival.
func (c *conn) sendPing() {
	now := c.now()
	cl := &call{method: pingMethod, args: struct{}{}, start: now, deadline: now + c.pingWait, limit: byPing, done: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.life != open || c.ping != nil {
		c.mu.Unlock()
		return
	}
	c.ping = cl
	c.armLocked(now + c.pingEvery)
	c.mu.Unlock()
	// With no turn or room at once, calls are on their way and the next time will do.
	if err := c.sendNow(context.Background(), cl); err != nil {
		c.mu.Lock()
		if c.ping == cl {
			c.ping = nil
		}
		c.mu.Unlock()
	}
}

// The drain frame tells a client that its server goes: a response to a request
// nobody made, which the rpc.Client of the standard library reads and drops. Its
// error is "drain N": requests after N were not accepted. "retire N" is of this
// connection alone: the server goes on.
const (
	drainSeq     = 1<<64 - 1
	drainMethod  = "_rollcall.Drain"
	drainPrefix  = "drain "
	retirePrefix = "retire "
)

// parseDrain reads a drain frame; why is nil for any other.
func parseDrain(resp *rpc.Response) (last uint64, why error) {
	if resp.ServiceMethod != drainMethod {
		return 0, nil
	}
	why = errDraining
	text, ok := strings.CutPrefix(resp.Error, drainPrefix)
	if !ok {
		why = errToldToRetire
		if text, ok = strings.CutPrefix(resp.Error, retirePrefix); !ok {
			return 0, nil
		}
	}
	last, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, nil
	}
	return last, why
}

// doubt pings at once a connection on which nothing has come since the call was
// sent. (A call that meets its own deadline does the same in onTimer.)
func (c *conn) doubt(since time.Duration) {
	if c.pingEvery > 0 && c.lastSign(c.now()) <= since {
		c.sendPing()
	}
}
