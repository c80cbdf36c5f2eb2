package rpcclient

import (
	"context"
	"fmt"
	"net/rpc"
	"runtime"
	"time"
)

// writeState is the writing side of a conn, guarded by its wmu.
//
// A caller encodes its request behind those that wait in out. If nobody writes,
// the caller does, with one write that cannot block: no goroutine stands between
// a lone call and the socket. What comes in meanwhile, and whatever the kernel did
// not take at once, is left to the writer goroutine, which writes all that has
// queued in one go and may be slow, up to a deadline. So a call never waits in a
// write, neither its own nor another's, beyond its own deadline.
type writeState struct {
	request rpc.Request
	out     []byte // encoded, to be written next
	spare   []byte // the other buffer
	rest    []byte // taken from out and not yet accepted by the kernel
	base    uint64 // stream offset of out[0]
	written uint64 // stream offset the kernel has accepted
	writing bool   // someone writes, or the writer was woken to
	handed  bool   // that someone is the writer goroutine
	failed  bool   // the connection is dead: whoever writes settles
	waiting int    // callers who wait for room

	wake chan struct{} // a token: the writer has work
	room chan struct{} // a token: there is room in out
}

const (
	writeChunk = 256 << 10 // progress expected within writeWait
	spareKeep  = 2 << 20   // larger buffers are not kept
	crowd      = 4         // calls in flight from which a flush waits for company
	crowdBytes = 16 << 10  // unless so much has queued already
)

// lockForWrite locks wmu when there is room in the queue, waiting for it no longer
// than the call may.
func (c *conn) lockForWrite(ctx context.Context, cl *call) error {
	c.wmu.Lock()
	if len(c.out) < c.maxQueue {
		return nil
	}
	expired := make(<-chan time.Time)
	if cl.deadline > 0 {
		t := time.NewTimer(cl.deadline - c.now())
		defer t.Stop()
		expired = t.C
	}
	c.waiting++
	for len(c.out) >= c.maxQueue && !c.failed {
		c.wmu.Unlock()
		var err error
		select {
		case <-c.room:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-expired:
			err = errQueueFull
		case <-c.dead:
		}
		c.wmu.Lock()
		if err != nil {
			c.waiting--
			c.unlockUnused()
			return err
		}
	}
	c.waiting--
	return nil
}

// passRoomLocked wakes one who waits, if there is room; each wakes the next.
func (c *conn) passRoomLocked() {
	if c.waiting > 0 && len(c.out) < c.maxQueue {
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}

// unlockUnused ends a lockForWrite that added nothing: the room is another's.
func (c *conn) unlockUnused() {
	c.passRoomLocked()
	c.wmu.Unlock()
}

// takeOutLocked swaps the buffers and returns what is to be written.
func (c *conn) takeOutLocked() []byte {
	buf := c.out
	c.out, c.spare = c.spare[:0], nil
	c.base += uint64(len(buf))
	c.passRoomLocked()
	return buf
}

// flush sees to it that out gets written. It is called with wmu held and
// unlocks it.
func (c *conn) flush() {
	if c.writing {
		c.passRoomLocked()
		c.wmu.Unlock()
		return
	}
	c.writing = true
	if c.raw == nil || c.load.Load() >= crowd && len(c.out) < crowdBytes {
		c.handOverLocked()
		c.wmu.Unlock()
		return
	}
	buf := c.takeOutLocked()
	c.wmu.Unlock()
	n, err := c.raw.now(buf)
	c.wmu.Lock()
	c.wroteLocked(buf, n)
	if err != nil || c.failed {
		c.stopLocked(err)
		return
	}
	if len(c.rest) > 0 || len(c.out) > 0 {
		c.handOverLocked()
	} else {
		c.writing = false
	}
	c.wmu.Unlock()
}

func (c *conn) handOverLocked() {
	c.handed = true
	c.wake <- struct{}{} // never blocks: writing is a token of its own
}

// wroteLocked notes that the kernel accepted n bytes of buf.
func (c *conn) wroteLocked(buf []byte, n int) {
	c.written += uint64(n)
	if n < len(buf) {
		c.rest = buf[n:]
		return
	}
	c.rest = nil
	if c.spare == nil && cap(buf) <= spareKeep {
		c.spare = buf[:0]
	}
}

// stopLocked ends the writing for good, and unlocks wmu. err is that of a write,
// or nil if the connection had failed before.
func (c *conn) stopLocked(err error) {
	c.writing = false
	failed := c.failed
	c.wmu.Unlock()
	if !failed {
		c.fail(fmt.Errorf("writing: %w", err))
		return
	}
	c.settle()
}

// writeLoop writes what callers left to it, until the connection is dead.
func (c *conn) writeLoop() {
	for {
		select {
		case <-c.wake:
		case <-c.dead:
			c.wmu.Lock()
			for !c.failed { // fail is between its two locks
				c.wmu.Unlock()
				runtime.Gosched()
				c.wmu.Lock()
			}
			if c.handed {
				c.stopLocked(nil)
				return
			}
			c.wmu.Unlock()
			return
		}
		// Those who are about to call get in before the write: one write for
		// many costs less than the wait.
		runtime.Gosched()
		c.wmu.Lock()
		for len(c.rest) > 0 || len(c.out) > 0 {
			if c.failed {
				break
			}
			buf := c.rest
			if len(buf) == 0 {
				buf = c.takeOutLocked()
			}
			c.wmu.Unlock()
			n, err := c.writeAll(buf)
			c.wmu.Lock()
			c.wroteLocked(buf, n)
			if err != nil {
				c.handed = false
				c.stopLocked(err)
				return
			}
		}
		c.handed = false
		if c.failed {
			c.stopLocked(nil)
			return
		}
		c.writing = false
		c.wmu.Unlock()
	}
}

// writeAll writes buf, giving each chunk of it writeWait.
func (c *conn) writeAll(buf []byte) (n int, err error) {
	if c.raw != nil {
		if n, err = c.raw.now(buf); err != nil || n == len(buf) {
			return n, err
		}
	}
	defer c.nc.SetWriteDeadline(time.Time{})
	for n < len(buf) {
		chunk := buf[n:min(len(buf), n+writeChunk)]
		c.nc.SetWriteDeadline(time.Now().Add(c.writeWait))
		m, err := c.nc.Write(chunk)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// busy tells that the queue is long: no place for a request that could do without.
func (c *conn) busy() bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return len(c.out) >= c.maxQueue/2
}
