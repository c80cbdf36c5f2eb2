package conn

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"reflect"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// readLoop reads responses until the connection ends, and ends it.
func (c *Conn) readLoop() {
	defer func() {
		c.readerGone.Store(true)
		c.Fail(errReaderGone) // nothing, unless a method of a reply has ended the goroutine
		c.closeWire()
	}()
	var resp rpcwire.Response
	for {
		if err := c.wire.header(&resp); err != nil {
			c.Fail(readError(err))
			return
		}
		if err := c.response(&resp); err != nil {
			c.Fail(readError(err))
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

// response reads one body and finishes its request. A late reply, to a request that was
// given up, is dropped.
func (c *Conn) response(resp *rpcwire.Response) error {
	if err := c.wire.whole(); err != nil {
		var large *rpcwire.LargeError
		if errors.As(err, &large) {
			// Only this request is known to have been executed.
			c.mu.Lock()
			req := c.takeLocked(resp.Seq)
			c.mu.Unlock()
			if req != nil {
				c.finishDecoded(req, err, true)
			}
		}
		return err
	}
	if resp.Seq == rpcwire.NoticeSeq {
		_, _, fatal := c.wire.body(nil)
		if end, ok := rpcwire.ParseEnd(resp); ok {
			c.drained(end)
		}
		return fatal
	}

	failed := resp.Error != "" || resp.NotExecuted
	c.mu.Lock()
	if req := c.pending[resp.Seq]; req != nil && !failed && !req.ping && !c.wire.direct() {
		reply := req.Reply
		c.mu.Unlock()
		return c.privately(resp.Seq, reply)
	}
	req := c.takeLocked(resp.Seq)
	if req != nil && resp.Error != "" && !resp.NotExecuted {
		c.refused = [2]reflect.Type{reflect.TypeOf(req.Args), reflect.TypeOf(req.Reply)}
	}
	back := c.away && req != nil && !req.ping && !resp.NotExecuted
	last := c.lastLocked()
	c.mu.Unlock()
	if back {
		c.doubtService(false)
	}
	if req == nil || failed || req.ping {
		spent, _, fatal := c.wire.body(nil)
		if spent { // before the caller is told: its next request must not come here
			c.unfit(errReply)
		}
		if req != nil {
			c.dropped(req, resp)
		}
		c.close(last)
		return fatal
	}
	spent, err, fatal := c.bodyFor(req)
	c.finishDecoded(req, err, spent)
	c.close(last)
	return fatal
}

// dropped finishes a request whose answer has no body to decode.
func (c *Conn) dropped(req *Request, resp *rpcwire.Response) {
	if req.ping {
		c.pinged(resp)
	}
	switch {
	case req.ping && resp.Error == "":
		req.finish(Yes, nil)
	case resp.NotExecuted:
		c.doubtService(true)
		req.finish(Never, &RefusedError{resp.Error, resp.Wait})
	case req.Travels && req.Deadline > 0 && c.Now() >= req.Deadline:
		// The method knows the deadline, and its error may be just that. The answer is only
		// here before the timer.
		req.finish(Maybe, TimeoutError{req.Limit})
	default:
		req.finish(Yes, rpc.ServerError(resp.Error))
	}
}

// bodyFor decodes a body into the caller's own value.
func (c *Conn) bodyFor(req *Request) (spent bool, err, fatal error) {
	whole := false
	defer func() {
		if !whole { // a method of the reply has ended the goroutine
			c.finishDecoded(req, errReaderGone, true)
		}
	}()
	spent, err, fatal = c.wire.body(req.Reply)
	whole = true
	return spent, err, fatal
}

// privately decodes a body that may block half-way. It decodes into a value of its own,
// because the caller may have given up when the body is whole, and must then find its
// value as it was.
func (c *Conn) privately(seq uint64, theirs any) error {
	var reply any
	var private reflect.Value
	into := reflect.ValueOf(theirs)
	if into.Kind() == reflect.Pointer && !into.IsNil() {
		private = reflect.New(into.Type().Elem())
		reply = private.Interface()
	}
	spent, err, fatal := c.wire.body(reply)
	c.mu.Lock()
	req := c.takeLocked(seq)
	back := c.away && req != nil
	last := c.lastLocked()
	c.mu.Unlock()
	if back {
		c.doubtService(false)
	}
	if req != nil {
		switch {
		case err == nil && private.IsValid():
			into.Elem().Set(private.Elem())
		case err == nil && req.Reply != nil:
			err = errors.New("reply must be a pointer")
		}
		c.finishDecoded(req, err, spent)
	}
	c.close(last)
	return fatal
}

// finishDecoded finishes a request whose body was read. spent: the connection takes no
// more requests.
func (c *Conn) finishDecoded(req *Request, err error, spent bool) {
	if spent { // before the caller is told: its next request must not come here
		c.unfit(errReply)
	}
	if err != nil {
		err = &DecodeError{err}
	}
	req.finish(Yes, err)
}

// Tests: read_test.go, codec_test.go, torture_test.go.
