package conn

import (
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// A Request is one request on one connection. It may be used again when it is done.
//
// It is in pending from before its first byte is written until it has a result.
// Whoever takes it out, with mu held, is the only one to touch it from then on, and
// must finish it: the reader, the deadline timer, moveAndUnlock, drained, or the caller
// that gives it up.
type Request struct {
	Method   string
	Args     any
	Reply    any           // nil: the body is dropped
	Start    time.Duration // on the Set's clock
	Deadline time.Duration // on the Set's clock; 0: none
	Limit    Limit         // whose deadline it is
	Travels  bool          // the server is told how much time is left until Deadline
	Meta     callmeta.Meta // what the server is told beside the argument

	// Done has a token when Err and Executed are the result.
	Done     chan struct{}
	Err      error
	Executed Executed

	ping bool
	seq  uint64
	mark uint64 // offset in the stream: with fewer bytes written, no server can have executed it
	slot int    // in deadlines, from 1; 0: in none
}

// NewRequest makes a Request whose Done has room for its token.
func NewRequest() *Request { return &Request{Done: make(chan struct{}, 1)} }

// finish gives a request its result. It belongs to the caller from here on.
func (req *Request) finish(executed Executed, err error) {
	req.Executed, req.Err = executed, err
	req.Done <- struct{}{}
}

// newPing makes the request that shows whether the server is alive.
func (c *Conn) newPing() *Request {
	now := c.Now()
	return &Request{
		Method: rpcwire.PingMethod, Args: struct{}{},
		Start: now, Deadline: now + c.PingTimeout, Limit: pingLimit,
		Done: make(chan struct{}, 1), ping: true,
	}
}

// addLocked puts a request into pending.
func (c *Conn) addLocked(req *Request) {
	req.Err, req.Executed = nil, Never
	c.pending[req.seq] = req
	if req.Deadline > 0 {
		c.deadlines.add(req)
		c.armLocked(req.Deadline)
	}
}

// takeLocked takes a request out of pending, nil if it is not there.
func (c *Conn) takeLocked(seq uint64) *Request {
	req := c.pending[seq]
	if req == nil {
		return nil
	}
	delete(c.pending, seq)
	c.load.Add(-1)
	if req.slot > 0 {
		c.deadlines.remove(req)
	}
	if req == c.ping {
		c.ping = nil
	}
	return req
}

func (c *Conn) takeAllLocked() []*Request {
	all := make([]*Request, 0, len(c.pending))
	for seq := range c.pending {
		all = append(all, c.takeLocked(seq))
	}
	return all
}

// lastLocked tells that a retired connection has nothing left to do.
func (c *Conn) lastLocked() bool { return c.life == retired && len(c.pending) == 0 }

// Abandon gives a request up, and tells the server if it knows how to be told. It returns
// false when the result is known, or is being decoded: then Done has its token, or gets it
// soon.
func (c *Conn) Abandon(req *Request) bool {
	c.mu.Lock()
	mine := c.pending[req.seq] == req
	tell := false
	if mine {
		c.takeLocked(req.seq)
		tell = c.cancelLocked(req)
	}
	last := c.lastLocked()
	c.mu.Unlock()
	if tell {
		c.sendCancels()
	}
	c.close(last)
	return mine
}

// Tests: request_test.go, deadline_test.go, torture_test.go.
