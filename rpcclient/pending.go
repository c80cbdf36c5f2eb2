package rpcclient

import "time"

// call is one request on one connection.
//
// It is in pending from before its first byte is written until it has a result, and
// whoever takes it out, with mu held, is the only one to touch it from then on and must
// finish it: the reader, the deadline timer, moveLocked, drained, or the caller that
// gives up.
type call struct {
	method   string
	args     any
	reply    any           // nil: the body is dropped
	start    time.Duration // on the client's clock
	deadline time.Duration // on the client's clock; 0: none
	limit    limit         // whose deadline it is

	seq  uint64
	mark uint64 // offset in the stream: with fewer bytes nobody can have executed it
	slot int    // in deadlines, from 1; 0: in none
	err  error
	exec Executed
	done chan struct{} // one token when finished
}

// finish gives a call its result. The call is the caller's from here on.
func (cl *call) finish(exec Executed, err error) {
	cl.exec, cl.err = exec, err
	cl.done <- struct{}{}
}

// addLocked puts a call into pending. c.mu is held.
func (c *conn) addLocked(cl *call) {
	cl.err, cl.exec = nil, Never
	c.pending[cl.seq] = cl
	if cl.deadline > 0 {
		c.deadlines.add(cl)
		c.armLocked(cl.deadline)
	}
}

// takeLocked takes a call out of pending, nil if it is not there. c.mu is held.
func (c *conn) takeLocked(seq uint64) *call {
	cl := c.pending[seq]
	if cl == nil {
		return nil
	}
	delete(c.pending, seq)
	c.load.Add(-1)
	if cl.slot > 0 {
		c.deadlines.remove(cl)
	}
	if cl == c.ping {
		c.ping = nil
	}
	return cl
}

func (c *conn) takeAllLocked() []*call {
	all := make([]*call, 0, len(c.pending))
	for seq := range c.pending {
		all = append(all, c.takeLocked(seq))
	}
	return all
}

// lastLocked tells that a retired connection has nothing left to do. c.mu is held.
func (c *conn) lastLocked() bool { return c.life == retired && len(c.pending) == 0 }

// abandon gives a call up. It returns false when a result is at hand already, or
// about to be: then done has or gets its token.
func (c *conn) abandon(cl *call) bool {
	c.mu.Lock()
	mine := c.pending[cl.seq] == cl
	if mine {
		c.giveUpLocked(cl.seq)
	}
	last := c.lastLocked()
	c.mu.Unlock()
	c.close(last)
	return mine
}
