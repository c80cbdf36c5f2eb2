package conn

import "github.com/rollcall-dns/rollcall/internal/rpcwire"

// maxCancels bounds the cancels that wait while another request is being encoded. That
// takes a microsecond, and may take long for methods of the caller's types. Of those
// beyond the bound the server is not told: it executes them for nothing, as it would
// if it knew no cancels.
const maxCancels = 1024

// cancelLocked notes that the server is to be told of a request that was given up. It
// returns true if there is something for sendCancels to do. c.mu is held.
func (c *Conn) cancelLocked(req *Request) bool {
	if rpcwire.Knows(c.knows.Load())&rpcwire.KnowsCancel == 0 || req.ping {
		return false
	}
	if c.life >= ended || len(c.pending) == 0 && c.life == retired {
		return false // the end of the connection says it
	}
	if len(c.cancels) >= maxCancels {
		return false
	}
	c.cancels = append(c.cancels, req.seq)
	c.cancelling.Store(true)
	return true
}

// sendCancels writes the cancels, or leaves them to the goroutine that has the turn. It
// never waits.
func (c *Conn) sendCancels() {
	for c.cancelling.Load() && c.turn.try() {
		c.encodeCancels()
		c.turn.give()
	}
	if c.readerGone.Load() {
		c.closeWire()
	}
	c.flush()
}

// encodeCancels appends the cancels to out if there is room. The caller has the turn.
func (c *Conn) encodeCancels() {
	c.mu.Lock()
	seqs := c.cancels
	c.cancels = nil
	c.cancelling.Store(false)
	// After a value that did not fit, the encoder may be in the middle of something.
	fit := c.life < ended && !c.misfit.Load() && len(c.out) < c.MaxQueue
	c.mu.Unlock()
	if !fit {
		return
	}
	c.enc = c.enc[:0]
	for _, seq := range seqs {
		c.head = rpcwire.Request{ServiceMethod: rpcwire.CancelMethod, Seq: seq}
		// It cannot fail: the values are the package's own.
		c.enc, _, _ = c.wire.encode(c.enc, &c.head, struct{}{})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life < ended {
		c.queueLocked()
	}
}
