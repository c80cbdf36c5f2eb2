package conn

import (
	"context"
	"fmt"
	"net/rpc"
	"runtime"
	"sync/atomic"
	"time"
)

// A caller encodes its request, in its turn, into a buffer that is the turn's, and puts
// it behind those that wait in out. If nobody writes, the caller does, with one write
// that cannot block: no goroutine stands between a lone call and the socket. What comes
// in meanwhile, and whatever the kernel did not take at once, is left to the writer
// goroutine, which writes all that has queued in one go and may be slow, up to a
// deadline. So a call never waits in a write, nor for another's encoding, beyond its
// own deadline.

// encodeState belongs to who has the turn.
type encodeState struct {
	turn    turn
	encodes atomic.Int64 // when the call began that is encoded, on the client's clock
	head    rpc.Request
	seq     uint64 // of the last request; begins with 1
	enc     []byte // what is being encoded
}

// writeState is guarded by the conn's mu.
type writeState struct {
	out     []byte // encoded, to be written next
	spare   []byte // the other buffer
	rest    []byte // taken from out and not yet accepted by the kernel
	queued  uint64 // bytes ever put into out
	written uint64 // bytes ever accepted by the kernel
	writing bool   // someone writes, or the writer was woken to
	handed  bool   // that someone is the writer goroutine
	cramped bool   // who has the turn waits for room

	wake chan struct{} // a token: the writer has work
	room chan struct{} // a token: there is room in out
}

const (
	writeChunk = 256 << 10 // progress expected within WriteTimeout
	spareKeep  = 2 << 20   // larger buffers are not kept
	crowd      = 4         // calls in flight from which a flush waits for company
	crowdBytes = 16 << 10  // unless so much has queued already
)

// Send starts a call. Without an error the call will be finished, and its done
// gets a token. An error means that nothing was sent: for a context that has ended,
// or a call that is too late, nothing is.
func (c *Conn) Send(ctx context.Context, req *Request) error {
	if req.Deadline > 0 && req.Deadline <= req.Start {
		return UnsentError{req.Limit}
	}
	p := patience{ctx: ctx, dead: c.dead, left: req.Deadline - req.Start, ends: req.Deadline > 0, limit: req.Limit}
	c.load.Add(1) // it weighs from here on: others had better go elsewhere
	err := c.turn.take(&p)
	if err == nil {
		err = c.put(req, &p)
	}
	p.stop()
	return c.sent(err)
}

// SendNow is send for one who does not wait, neither for another's encoding nor for
// room: then it fails with ErrBusy.
func (c *Conn) SendNow(ctx context.Context, req *Request) error {
	c.load.Add(1)
	err := error(ErrBusy)
	if c.turn.spin() {
		err = c.put(req, &patience{ctx: ctx, dead: c.dead, none: true})
	}
	return c.sent(err)
}

// sent ends a send.
func (c *Conn) sent(err error) error {
	switch err {
	case nil:
		c.flush()
		return nil
	case errEnded:
		c.mu.Lock()
		err = c.refusalLocked()
		c.mu.Unlock()
	}
	c.load.Add(-1)
	return err
}

// put waits for room, encodes a call and puts it into out. It has the turn, and gives
// it back.
func (c *Conn) put(req *Request, p *patience) error {
	c.encodes.Store(int64(req.Start))
	whole := false
	defer func() {
		if !whole { // the argument's own method has ended its goroutine
			c.Retire(errUnencoded)
		}
		c.giveTurn()
	}()
	err := c.encode(req, p)
	whole = true
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusalLocked(); err != nil {
		return err // nothing will be encoded here any more, so this one can be left out
	}
	c.seq++
	req.seq = c.seq
	req.mark = c.queued + 1
	if c.wire.framed() {
		req.mark = c.queued + uint64(len(c.enc))
	}
	c.queueLocked()
	c.addLocked(req)
	return nil
}

func (c *Conn) encode(req *Request, p *patience) error {
	if err := c.awaitRoom(p); err != nil {
		return err
	}
	if p.ctx.Err() != nil { // as late as can be: whoever waited may have gone
		return ContextError(p.ctx)
	}
	c.head = rpc.Request{ServiceMethod: req.Method, Seq: c.seq + 1}
	out, spent, err := c.wire.encode(c.enc[:0], &c.head, req.Args)
	c.enc = out
	if err == nil {
		return nil
	}
	if spent {
		c.Retire(errUnencoded)
	}
	c.mu.Lock()
	c.queueLocked() // definitions, perhaps
	c.mu.Unlock()
	return &EncodeError{err}
}

// awaitRoom waits until there is room in out, and fails when no calls are taken.
func (c *Conn) awaitRoom(p *patience) error {
	for {
		c.mu.Lock()
		err := c.refusalLocked()
		c.cramped = err == nil && len(c.out) >= c.MaxQueue
		full := c.cramped
		c.mu.Unlock()
		switch {
		case err != nil:
			return err
		case !full:
			return nil
		}
		if err := p.wait(c.room); err != nil {
			return err
		}
	}
}

// giveTurn gives the turn back, for good when the reader has gone.
func (c *Conn) giveTurn() {
	c.turn.give()
	if c.readerGone.Load() {
		c.closeWire()
	}
}

// closeWire closes the codec when the reader has gone and nobody encodes any more. It
// takes the turn and never gives it back.
func (c *Conn) closeWire() {
	if c.turn.try() {
		c.wire.close()
	}
}

// queueLocked moves what was encoded into out. c.mu is held, and the turn.
func (c *Conn) queueLocked() {
	c.queued += uint64(len(c.enc))
	if len(c.out) == 0 {
		c.out, c.enc = c.enc, c.out
		return
	}
	c.out = append(c.out, c.enc...)
	if cap(c.enc) > spareKeep {
		c.enc = nil
	}
}

// takeOutLocked swaps the buffers and returns what is to be written.
func (c *Conn) takeOutLocked() []byte {
	buf := c.out
	c.out, c.spare = c.spare[:0], nil
	if c.cramped {
		c.cramped = false
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
	return buf
}

// flush sees to it that out gets written.
func (c *Conn) flush() {
	c.mu.Lock()
	if c.writing || len(c.out) == 0 || c.life >= ended {
		c.mu.Unlock()
		return
	}
	c.writing = true
	if c.raw == nil || c.load.Load() >= crowd && len(c.out) < crowdBytes {
		c.handOverLocked()
		c.mu.Unlock()
		return
	}
	buf := c.takeOutLocked()
	c.mu.Unlock()
	n, err := c.raw.now(buf)
	c.mu.Lock()
	c.wroteLocked(buf, n)
	switch {
	case err != nil || c.life >= ended:
		c.stopAndUnlock(err)
		return
	case len(c.rest) > 0 || len(c.out) > 0:
		c.handOverLocked()
	default:
		c.writing = false
	}
	c.mu.Unlock()
}

func (c *Conn) handOverLocked() {
	c.handed = true
	c.wake <- struct{}{} // never blocks: writing is a token of its own
}

// wroteLocked notes that the kernel accepted n bytes of buf.
func (c *Conn) wroteLocked(buf []byte, n int) {
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

// stopAndUnlock ends the writing for good, and with it the connection. It unlocks mu. err
// is that of a write, or nil if the connection had ended before.
func (c *Conn) stopAndUnlock(err error) {
	c.writing, c.handed = false, false
	if err != nil {
		err = fmt.Errorf("writing: %w", err)
	}
	c.moveAndUnlock(ended, err)
}

// writeLoop writes what callers left to it, until the connection ends.
func (c *Conn) writeLoop() {
	for {
		select {
		case <-c.wake:
		case <-c.dead:
			c.mu.Lock()
			if c.handed {
				c.stopAndUnlock(nil)
			} else {
				c.mu.Unlock()
			}
			return
		}
		// Those who are about to call get in before the write: one write for
		// many costs less than the wait.
		runtime.Gosched()
		c.mu.Lock()
		for c.life < ended && (len(c.rest) > 0 || len(c.out) > 0) {
			buf := c.rest
			if len(buf) == 0 {
				buf = c.takeOutLocked()
			}
			c.mu.Unlock()
			n, err := c.writeAll(buf)
			c.mu.Lock()
			c.wroteLocked(buf, n)
			if err != nil {
				c.stopAndUnlock(err)
				return
			}
		}
		if c.life >= ended {
			c.stopAndUnlock(nil)
			return
		}
		c.writing, c.handed = false, false
		c.mu.Unlock()
	}
}

// writeAll writes buf, giving each chunk of it WriteTimeout.
func (c *Conn) writeAll(buf []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil { // Config.Conn.Dial's own type may do anything
			err = fmt.Errorf("panicked: %v", p)
		}
	}()
	if c.raw != nil {
		if n, err = c.raw.now(buf); err != nil || n == len(buf) {
			return n, err
		}
	}
	defer c.nc.SetWriteDeadline(time.Time{})
	for n < len(buf) {
		chunk := buf[n:min(len(buf), n+writeChunk)]
		c.nc.SetWriteDeadline(time.Now().Add(c.WriteTimeout))
		m, err := c.nc.Write(chunk)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Crowded tells that the queue is long: no place for a request that could do without.
func (c *Conn) Crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) >= c.MaxQueue/2
}
