package rpcclient

import (
	"context"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// The limits of a call's time.
const (
	byContext conn.Limit = ""
	byTimeout conn.Limit = "Config.Timeout"
	byAttempt conn.Limit = "Config.AttemptTimeout"
	byWaiting conn.Limit = "Config.WaitForNode"
)

// noNodeError is the end of the time that a call waits for a node; err says why there
// was none.
type noNodeError struct {
	limit conn.Limit
	err   error
}

func (e *noNodeError) Error() string {
	if e.limit == byContext {
		return context.DeadlineExceeded.Error() + ": " + e.err.Error()
	}
	return "nothing within " + string(e.limit) + ": " + e.err.Error()
}
func (e *noNodeError) Unwrap() error { return e.err }
func (e *noNodeError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.limit != byWaiting
}
