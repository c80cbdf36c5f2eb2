package conn

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// A caller encodes its request when it has the turn, and appends it to out. If no write
// is under way, the caller writes, with one write that cannot block: a lone request goes
// to the socket without another goroutine. Requests that are encoded during the write,
// and bytes that the kernel did not take at once, are left to the writer goroutine. It
// writes all that has queued at once, and may take long, up to a deadline. So a caller
// never waits beyond its own deadline, neither in a write nor for another request's
// encoding.

// encodeState belongs to the goroutine that has the turn.
type encodeState struct {
	turn    turn
	encodes atomic.Int64 // when the request began that is being encoded, on the Set's clock
	head    rpcwire.Request
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
	writing bool   // a write is under way, or the writer goroutine was woken for one
	handed  bool   // it is the writer goroutine's
	cramped bool   // the goroutine that has the turn waits for room

	wake chan struct{} // a token: the writer has work
	room chan struct{} // a token: there is room in out
}

const (
	writeChunk = 256 << 10 // progress expected within WriteTimeout
	spareKeep  = 2 << 20   // larger buffers are not kept
	crowd      = 4         // with so many requests in flight, others are likely to share a write
	crowdBytes = 16 << 10  // with so much queued, no others are waited for
)

// Send starts a request. Without an error the request will be finished, and its Done
// gets a token. An error means that nothing was sent: nothing is sent when the context
// has ended, or the request is too late.
func (c *Conn) Send(ctx context.Context, req *Request) error {
	if req.Deadline > 0 && req.Deadline <= req.Start {
		return UnsentError{req.Limit}
	}
	p := patience{ctx: ctx, dead: c.dead, left: req.Deadline - req.Start, ends: req.Deadline > 0, limit: req.Limit}
	c.load.Add(1) // from here on, so that other requests choose another connection
	err := c.turn.take(&p)
	if err == nil {
		err = c.put(req, &p)
	}
	p.stop()
	return c.sent(err)
}

// SendNow is Send without waiting. It fails with ErrBusy if another request is being
// encoded, or there is no room.
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

// put waits for room, encodes a request and appends it to out. The caller has the turn,
// and put gives it back.
func (c *Conn) put(req *Request, p *patience) error {
	c.encodes.Store(int64(req.Start))
	whole := false
	defer func() {
		if !whole { // a method of the argument has ended the goroutine
			c.unfit(errUnencoded)
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
		return err // it can be left out of the stream, because nothing more is encoded here
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
	if p.ctx.Err() != nil { // as late as possible: the caller may have gone while it waited
		return ContextError(p.ctx)
	}
	c.head = rpcwire.Request{ServiceMethod: req.Method, Seq: c.seq + 1, Meta: req.Meta}
	if req.Travels && req.Deadline > 0 {
		if c.head.Timeout = req.Deadline - c.Now(); c.head.Timeout <= 0 {
			return UnsentError{req.Limit}
		}
	}
	out, spent, err := c.wire.encode(c.enc[:0], &c.head, req.Args)
	c.enc = out
	if err == nil {
		return nil
	}
	if spent {
		c.unfit(errUnencoded)
	}
	c.mu.Lock()
	c.queueLocked() // type definitions, perhaps
	c.mu.Unlock()
	return &EncodeError{err}
}

// awaitRoom waits until there is room in out, and fails when no requests are taken.
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
	if c.cancelling.Load() { // whoever set it while this goroutine had the turn has left it here
		c.sendCancels()
	}
	if c.readerGone.Load() {
		c.closeWire()
	}
}

// closeWire closes the codec when the reader has gone and nothing is being encoded. It
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

// flush writes out, or has it written.
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
	c.wake <- struct{}{} // never blocks: only one goroutine at a time has set writing
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

// stopAndUnlock ends the writing for good, and with it the connection. It is called with
// mu held. err is the error of a write, or nil if the connection had ended before.
func (c *Conn) stopAndUnlock(err error) {
	c.writing, c.handed = false, false
	if err != nil {
		err = fmt.Errorf("writing: %w", err)
	}
	c.moveAndUnlock(ended, err)
}

// writeLoop writes what callers leave to it, until the connection ends.
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
		// Goroutines that are about to send get in before the write: one write for
		// many requests costs less than the wait.
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
		if p := recover(); p != nil { // the net.Conn may be a type of the user's Dial
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

// Crowded tells that the queue is long: a request that is not necessary should not join it.
func (c *Conn) Crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) >= c.MaxQueue/2
}

// Tests: codec_test.go, torture_test.go.
