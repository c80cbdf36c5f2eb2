package conn

import (
	"fmt"
	"net"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// life is how far a connection has come. It only goes forward, one step or several at
// once, and only in moveAndUnlock: so code that holds mu knows what may still happen.
type life uint8

const (
	// open: it takes requests.
	open life = iota
	// retired: it takes no more requests, and ends when those in flight are finished.
	retired
	// ended: the socket is closed and nothing more will be written, but one write has not
	// returned yet. Until then it is not known which requests were sent.
	ended
	// settled: each request has its result, and no other will be taken.
	settled
)

// moveAndUnlock brings a connection to a later state, and further when nothing keeps
// it there: a retired one without requests ends, an ended one without a write settles.
// It is called with mu held and unlocks it, because the owner and the requests are told
// without the lock. Code that changes what a state waits for (pending, writing) calls it.
func (c *Conn) moveAndUnlock(to life, why error) {
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
	var left []*Request
	written := c.written
	if from < settled && to == settled {
		c.timer.Stop()
		left = c.takeAllLocked()
	}
	retiredFor := c.retiredFor
	c.mu.Unlock()

	if from == open && to > open { // before the requests are finished: their next try must not come back here
		c.owner.Retired(c, retiredFor)
	}
	for _, req := range left {
		// No server can have decoded what the kernel has not got.
		if req.mark > written {
			req.finish(Never, fmt.Errorf("%w: %w", errNotWritten, why))
		} else {
			req.finish(Maybe, why)
		}
	}
	if from < ended && to >= ended {
		CloseNow(c.nc)
	}
	if from < settled && to == settled {
		c.owner.Dead(c, why)
	}
}

// Retire lets the connection finish the requests in flight and then end.
func (c *Conn) Retire(why error) {
	c.mu.Lock()
	c.moveAndUnlock(retired, why)
}

// Fail ends the connection: the socket is closed, and requests in flight fail.
func (c *Conn) Fail(why error) {
	c.mu.Lock()
	c.moveAndUnlock(ended, why)
}

// close ends a retired connection that has nothing left to do.
func (c *Conn) close(last bool) {
	if last {
		c.Fail(ErrRetired)
	}
}

// drained obeys a notice: requests after its last one were not and will not be
// executed, and there must be no more on this connection.
func (c *Conn) drained(end rpcwire.End) {
	why := ErrDraining
	if end.Alone {
		why = ErrToldToRetire
	}
	var never []*Request
	c.mu.Lock()
	for seq := range c.pending {
		if seq > end.Last {
			never = append(never, c.takeLocked(seq))
		}
	}
	c.moveAndUnlock(retired, why)
	for _, req := range never {
		req.finish(Never, why)
	}
}

// refusalLocked is why new requests are not taken, nil while they are.
func (c *Conn) refusalLocked() error {
	switch {
	case c.life == open:
		return nil
	case c.life == retired:
		return c.retiredFor
	}
	return c.endedFor
}

// Usable tells whether new requests are taken.
func (c *Conn) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusalLocked() == nil
}

// Ended is closed when the connection has ended.
func (c *Conn) Ended() <-chan struct{} { return c.dead }

// Wait returns when the connection has ended and its goroutines have, too.
func (c *Conn) Wait() {
	<-c.dead
	c.done.Wait()
}

// CloseNow closes nc at once: tls.Conn.Close would wait for a peer that does not read.
func CloseNow(nc net.Conn) {
	defer func() { recover() }() // the net.Conn may be a type of the user's Dial
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		t.NetConn().Close()
	}
	nc.Close()
}

// Tests: deadline_test.go, torture_test.go.
