package rpcserver

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// live has the calls of one connection that can be ended from outside: those with a
// context, and those that wait for their turn.
type live struct {
	mu    sync.Mutex       // guards all below, and waits and givenUp of each call
	calls map[uint64]*call // by the number of the request
	cause error            // all have ended
}

// add ends the context of a call whose number is used again: it is not found by it any more,
// not even when the connection ends.
func (l *live) add(k *call) {
	l.mu.Lock()
	if l.calls == nil {
		l.calls = make(map[uint64]*call)
	}
	var lost *callContext
	if before := l.calls[k.seq]; before != nil {
		lost = before.ctx
	}
	l.calls[k.seq] = k
	k.listed = true
	cause := l.cause
	l.mu.Unlock()
	if lost != nil {
		lost.end(ErrGaveUp)
	}
	if cause != nil && k.ctx != nil {
		k.ctx.end(cause)
	}
}

func (l *live) remove(k *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[k.seq] == k {
		delete(l.calls, k.seq)
	}
}

// begin is called when it is the turn of a call that waited. It is false if it was given up
// meanwhile, and answered.
func (l *live) begin(k *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.waits = false
	return !k.givenUp
}

// giveUp ends a call that the client has given up. It returns the method if the call waits
// for its turn, which it is not going to get: then the caller of giveUp answers it.
func (l *live) giveUp(seq uint64) (unanswered *method) {
	l.mu.Lock()
	k := l.calls[seq]
	var ctx *callContext
	if k != nil {
		ctx = k.ctx
		if k.waits && !k.givenUp {
			k.givenUp, unanswered = true, k.method
		}
	}
	l.mu.Unlock()
	if ctx != nil {
		ctx.end(ErrGaveUp)
	}
	return unanswered
}

// end ends all contexts, also of calls that come later.
func (l *live) end(cause error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
	}
	var all []*callContext
	for _, k := range l.calls {
		if k.ctx != nil {
			all = append(all, k.ctx)
		}
	}
	l.mu.Unlock()
	for _, ctx := range all {
		ctx.end(cause)
	}
}

// attend is run while calls are in flight and no more requests are read: err is why. It
// drops what still comes, so that the contexts of these calls end when the client goes. It
// ends with the connection.
func (c *conn) attend(err error) {
	var lost *net.OpError
	gone := errors.As(err, &lost) && !lost.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if !gone {
		c.mu.Lock()
		if !c.stopped {
			c.nc.SetReadDeadline(time.Time{})
		}
		c.mu.Unlock()
		var waste [512]byte
		for err = nil; err == nil; {
			_, err = c.nc.Read(waste[:])
		}
	}
	if !c.isStopped() { // else it was told to read no more, which is an error, too
		c.live.end(ErrDisconnected)
	}
}

// Tests: context_test.go, hostile_calls_test.go.
