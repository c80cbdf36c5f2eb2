package rpcclient

import "context"

// limit is whose time it was that ran out. The texts of time-outs have no numbers, so
// that they can be counted; Attempt.Took has them.
type limit uint8

const (
	byContext limit = iota
	byTimeout
	byAttempt
	byWaiting
	byPing
)

var limits = [...]string{"the context's deadline", "Config.Timeout", "Config.AttemptTimeout", "Config.WaitForNode", "Config.PingTimeout"}

func (l limit) String() string { return limits[l] }

// timeoutError is the end of a call's time. It is a context.DeadlineExceeded to
// errors.Is, as to the caller it is the same.
type timeoutError struct{ limit }

func (e timeoutError) Error() string {
	if e.limit == byContext {
		return context.DeadlineExceeded.Error()
	}
	return "no answer within " + e.limit.String()
}
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
func (e timeoutError) Timeout() bool        { return true }

// unsentError is the end of a call's time before it was its turn to be written, or
// there was room.
type unsentError struct{ limit }

func (e unsentError) Error() string {
	if e.limit == byContext {
		return context.DeadlineExceeded.Error()
	}
	return "not written within " + e.limit.String()
}
func (e unsentError) Is(target error) bool { return target == context.DeadlineExceeded }
func (e unsentError) Timeout() bool        { return true }

// noNodeError is the end of the time that a call waits for a node; err is what it
// waited for in vain.
type noNodeError struct {
	limit
	err error
}

func (e *noNodeError) Error() string {
	if e.limit == byContext {
		return context.DeadlineExceeded.Error() + ": " + e.err.Error()
	}
	return "nothing within " + e.limit.String() + ": " + e.err.Error()
}
func (e *noNodeError) Unwrap() error { return e.err }
func (e *noNodeError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.limit != byWaiting
}
