package rpcserver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
)

// What context.Cause says of the context of a method that has ended before the method:
// one of these, ErrServerClosed, or context.DeadlineExceeded.
var (
	// ErrGaveUp is the cause when the caller has given the call up. Only rpcclient says so.
	ErrGaveUp = errors.New("rpcserver: the caller has given up")
	// ErrDisconnected is the cause when the client has ended the connection, or half of it.
	ErrDisconnected = errors.New("rpcserver: the client has ended the connection")
)

// callKey is the key of the *Call in a context.
type callKey struct{}

// callContext is the context of a call. Most methods never ask whether it has ended, so
// that a context of package context is made only when one does, or asks for a value that
// is not known here: context.Cause finds what it needs by such a value.
type callContext struct {
	call     Call
	k        *call // that is being answered; nil without middleware
	args     any   // as Call.Args; nil without middleware
	reply    any
	deadline time.Time // zero: none

	mu       sync.Mutex // guards all below
	real     context.Context
	cancel   context.CancelCauseFunc // of real
	cause    error                   // it has ended; nil: it has not, or the deadline has passed
	begun    bool                    // the method was called
	answered bool
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *callContext) Done() <-chan struct{} { return c.whole().Done() }

func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
		return c.real.Err()
	case c.cause == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		c.cause = context.DeadlineExceeded
	}
	if c.cause == nil || c.cause == context.DeadlineExceeded {
		return c.cause
	}
	return context.Canceled
}

func (c *callContext) Value(key any) any {
	switch key.(type) {
	case callKey:
		return &c.call
	case callmeta.IncomingKey:
		return &c.call.Meta.pairs
	case callmeta.OutgoingKey:
		return nil
	}
	return c.whole().Value(key)
}

// whole is the context of package context.
func (c *callContext) whole() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.cancel = context.WithCancelCause(context.Background())
		if cancel := c.cancel; !c.deadline.IsZero() {
			timed, stop := context.WithDeadline(c.real, c.deadline)
			c.real, c.cancel = timed, func(cause error) {
				cancel(cause)
				stop()
			}
		}
		if c.cause != nil && c.cause != context.DeadlineExceeded { // else it has ended by its deadline
			c.cancel(c.cause)
		}
	}
	return c.real
}

// end ends the context. The first cause counts.
func (c *callContext) end(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// enter is called before the method. It is false when the call was answered before.
func (c *callContext) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
	return !c.answered
}

// entered tells whether the method was called.
func (c *callContext) entered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

// answer is called when the call is over. never is true if the method was not called,
// and will not be.
func (c *callContext) answer() (never bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	return !c.begun
}
