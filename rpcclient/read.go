package rpcclient

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"reflect"
)

// readLoop reads responses until the connection ends, and ends it.
func (c *conn) readLoop() {
	defer func() {
		c.readerGone.Store(true)
		c.closeWire()
	}()
	var resp rpc.Response
	for {
		resp = rpc.Response{}
		if err := c.wire.header(&resp); err != nil {
			c.fail(readError(err))
			return
		}
		if err := c.response(&resp); err != nil {
			c.fail(readError(err))
			return
		}
	}
}

func readError(err error) error {
	if err == io.EOF {
		return errPeerClosed
	}
	return fmt.Errorf("reading: %w", err)
}

var errReply = fmt.Errorf("%w: a reply could not be decoded", errRetired)

var errPeerClosed = errors.New("connection closed by the server")

// response reads one body and finishes the call it belongs to. A late reply, to a
// call that was given up, is read into nothing, or something that nobody sees.
func (c *conn) response(resp *rpc.Response) error {
	if err := c.wire.whole(); err != nil {
		var large *largeError
		if errors.As(err, &large) {
			// The others on this connection do not know, but this one does.
			c.mu.Lock()
			cl := c.takeLocked(resp.Seq)
			c.mu.Unlock()
			if cl != nil {
				c.finishDecoded(cl, err, true) // the caller's next call must not come here
			}
		}
		return err
	}
	if resp.Seq == drainSeq {
		_, _, fatal := c.wire.body(nil)
		if last, why := parseDrain(resp); why != nil {
			c.drained(last, why)
		}
		return fatal
	}

	c.mu.Lock()
	if cl := c.pending[resp.Seq]; cl != nil && resp.Error == "" && !c.wire.direct(cl.reply) {
		reply := cl.reply
		c.mu.Unlock()
		return c.privately(resp.Seq, reply)
	}
	cl, nobodys := c.takeLocked(resp.Seq), c.nobodysLocked(resp.Seq)
	last := c.lastLocked()
	c.mu.Unlock()
	if cl == nil || resp.Error != "" {
		if resp.Error != "" {
			nobodys = nil
		}
		spent, _, fatal := c.wire.body(nobodys)
		if cl != nil {
			cl.finish(Yes, rpc.ServerError(resp.Error))
		}
		if spent {
			c.retire(errReply)
		}
		c.close(last)
		return fatal
	}
	spent, err, fatal := c.wire.body(cl.reply)
	c.finishDecoded(cl, err, spent)
	c.close(last)
	return fatal
}

// privately decodes a body that may block half-way into a value of its own: by
// the time it is whole, the caller may have given up, and the caller's value is
// then the caller's again.
func (c *conn) privately(seq uint64, theirs any) error {
	var reply any
	var private reflect.Value
	into := reflect.ValueOf(theirs)
	if into.Kind() == reflect.Pointer && !into.IsNil() {
		private = reflect.New(into.Type().Elem())
		reply = private.Interface()
	}
	spent, err, fatal := c.wire.body(reply)
	c.mu.Lock()
	cl := c.takeLocked(seq)
	delete(c.late, seq)
	last := c.lastLocked()
	c.mu.Unlock()
	if cl != nil {
		switch {
		case err == nil && private.IsValid():
			into.Elem().Set(private.Elem())
		case err == nil && cl.reply != nil:
			err = errors.New("reply must be a pointer")
		}
		c.finishDecoded(cl, err, spent)
	}
	c.close(last)
	return fatal
}

func (c *conn) finishDecoded(cl *call, err error, spent bool) {
	if spent {
		c.retire(errReply)
	}
	if err != nil {
		err = &decodeError{err}
	}
	cl.finish(Yes, err)
}
