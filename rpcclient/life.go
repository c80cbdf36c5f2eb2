package rpcclient

import (
	"errors"
	"fmt"
	"net"
)

// life is how far a connection has come. It only goes forward, one step or several at
// once, and only in moveLocked: so whoever holds mu knows what may still happen.
type life uint8

const (
	// open: it takes calls.
	open life = iota
	// retired: it takes no more calls, and ends when those in flight have.
	retired
	// ended: the socket is closed and nothing more will be written, but one write is
	// still coming back. Until then nobody knows which requests were sent.
	ended
	// settled: each call in flight has got its result, and no other will be taken.
	settled
)

var (
	errClosed       = errors.New("client closed")
	errRetired      = errors.New("connection takes no more calls")
	errDraining     = errors.New("server is draining")
	errToldToRetire = errors.New("server gave the connection up")
	errNodeGone     = errors.New("node is no longer announced")
	errSilent       = errors.New("connection silent: ping not answered")
	errNotWritten   = errors.New("connection lost before the request was written")
)

// moveLocked brings a connection on to a later state, and further when nothing keeps
// it there: a retired one without calls ends, an ended one without a write settles.
// It is called with mu held and unlocks it, for the consequences are told without.
// Whoever changes what a state waits for (pending, writing) calls it.
func (c *conn) moveLocked(to life, why error) {
	from := c.life
	to = max(to, from)
	if to == retired && len(c.pending) == 0 {
		to = ended
	}
	if to == ended && !c.writing {
		to = settled
	}
	c.life = to
	if from == open && to > open {
		c.retiredFor = why
	}
	if from < ended && to >= ended {
		c.endedFor = why
		close(c.dead)
	}
	why = c.endedFor
	var left []*call
	written := c.written
	if from < settled && to == settled {
		c.timer.Stop()
		left = c.takeAllLocked()
	}
	retiredFor := c.retiredFor
	c.mu.Unlock()

	if from == open && to > open { // before the calls: those tried again must not come back here
		c.owner.connRetired(c, retiredFor)
	}
	for _, cl := range left {
		// What the kernel has not got so far, nobody can have decoded.
		if cl.mark > written {
			cl.finish(Never, fmt.Errorf("%w: %w", errNotWritten, why))
		} else {
			cl.finish(Maybe, why)
		}
	}
	if from < ended && to >= ended {
		closeNow(c.nc)
	}
	if from < settled && to == settled {
		c.owner.connDead(c, why)
	}
}

// retire lets the connection finish what is in flight and then end.
func (c *conn) retire(why error) {
	c.mu.Lock()
	c.moveLocked(retired, why)
}

// fail ends the connection: the socket is closed and whatever is pending fails.
func (c *conn) fail(why error) {
	c.mu.Lock()
	c.moveLocked(ended, why)
}

// close ends a retired connection that has nothing left to do.
func (c *conn) close(last bool) {
	if last {
		c.fail(errRetired)
	}
}

// drained obeys the drain frame of rpcserver: requests after last were not and
// will not be executed, and there must be no more on this connection.
func (c *conn) drained(last uint64, why error) {
	var never []*call
	c.mu.Lock()
	for seq := range c.pending {
		if seq > last {
			never = append(never, c.takeLocked(seq))
		}
	}
	c.moveLocked(retired, why)
	for _, cl := range never {
		cl.finish(Never, why)
	}
}

// refusalLocked is why new calls are not welcome, nil while they are. c.mu is held.
func (c *conn) refusalLocked() error {
	switch {
	case c.life == open:
		return nil
	case c.life == retired:
		return c.retiredFor
	}
	return c.endedFor
}

// usable tells whether new calls are welcome.
func (c *conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusalLocked() == nil
}

// gone tells whether the connection has ended.
func (c *conn) gone() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// wait returns when the connection has ended and its goroutines have, too.
func (c *conn) wait() {
	<-c.dead
	c.done.Wait()
}

// closeNow closes without a farewell: tls.Conn.Close would wait for a peer that
// does not read.
func closeNow(nc net.Conn) {
	defer func() { recover() }() // Config.Dial's own type may do anything; it is closed, or was
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		t.NetConn().Close()
	}
	nc.Close()
}
