package conn

import (
	"context"
	"errors"
	"fmt"
)

// Limit names the setting whose time ran out, "Config.Timeout"; "" is the context's
// deadline. The texts of time-outs have no numbers, so that logs can be grouped.
type Limit string

const pingLimit Limit = "Config.Conn.PingTimeout"

// TimeoutError is the end of a request's time after it was sent. To errors.Is it is
// a context.DeadlineExceeded, as it is the same to the caller.
type TimeoutError struct{ Limit Limit }

func (e TimeoutError) Error() string { return e.Limit.text("no answer") }

// Is reports whether target is context.DeadlineExceeded.
func (e TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout is true, as in net.Error.
func (e TimeoutError) Timeout() bool { return true }

// UnsentError is the end of a request's time before its turn came, or before there
// was room to write it.
type UnsentError struct{ Limit Limit }

func (e UnsentError) Error() string { return e.Limit.text("not written") }

// Is reports whether target is context.DeadlineExceeded.
func (e UnsentError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout is true, as in net.Error.
func (e UnsentError) Timeout() bool { return true }

func (l Limit) text(what string) string {
	if l == "" {
		return context.DeadlineExceeded.Error()
	}
	return what + " within " + string(l)
}

// ContextError is the error of a context that has ended, together with its cause if
// the cause is another error.
func ContextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Tests: deadline_test.go.
