package rpcclient

import (
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// Method is what is declared of a method. Each setting is taken from the first of these
// that has it: the options of the call, [MethodOf], Config.Methods, and the rest of Config.
type Method struct {
	// Idempotent: executing it twice does no more than executing it once. A call is
	// then tried again even when a server may have executed it.
	Idempotent bool
	// Hedge is the share of calls that may be sent to a second node while the first
	// request is out. 0.02 sends a second request for the slowest 2 % of calls, and the
	// first answer counts. Only an Idempotent method may have it. 0: none. At most 0.5.
	Hedge float64
	// Timeout of a whole call, if its context has no deadline. 0: Config.Timeout.
	// Negative: none.
	Timeout time.Duration
	// AttemptTimeout of one attempt. 0: Config.Retry.AttemptTimeout.
	AttemptTimeout time.Duration
	// Retries is the number of retries of a call. 0: Config.Retry.Max. Negative: none.
	Retries int
	// RetryErrors says which errors of a server are tried again, within Retries and the
	// budget. They are errors of the method, which was executed: it should return true
	// only for errors after which another execution does no harm. It runs on the path of
	// the call, perhaps more than once for one error. nil: none is tried again.
	RetryErrors func(rpc.ServerError) bool
}

// over returns base with what is set in m.
func (m Method) over(base Method) Method {
	base.Idempotent = base.Idempotent || m.Idempotent
	if m.Hedge != 0 {
		base.Hedge = m.Hedge
	}
	if m.Timeout != 0 {
		base.Timeout = m.Timeout
	}
	if m.AttemptTimeout != 0 {
		base.AttemptTimeout = m.AttemptTimeout
	}
	if m.Retries != 0 {
		base.Retries = m.Retries
	}
	if m.RetryErrors != nil {
		base.RetryErrors = m.RetryErrors
	}
	return base
}

// check refuses settings that have no meaning, and a name that no method has.
func (m Method) check(name string) error {
	if service, method, ok := strings.Cut(name, "."); !ok || service == "" || method == "" {
		return errors.New(`want service and method, such as "Arith.Multiply"`)
	}
	return m.checkSettings()
}

// checkSettings refuses settings that have no meaning.
func (m Method) checkSettings() error {
	if !(m.Hedge >= 0 && m.Hedge <= maxHedge) {
		return fmt.Errorf("Hedge %v: want a share from 0 to %v", m.Hedge, maxHedge)
	}
	if m.Hedge > 0 && !m.Idempotent {
		return errors.New("Hedge: only an Idempotent method may be sent twice")
	}
	if m.AttemptTimeout < 0 {
		return errors.New("AttemptTimeout is negative: want more than 0, or 0 for Config.Retry.AttemptTimeout")
	}
	return nil
}

// bounded returns m with durations that can be added to the client's clock.
func (m Method) bounded() Method {
	bound(&m.Timeout, &m.AttemptTimeout)
	return m
}

// timeout is the limit of a call whose context has no deadline; 0 is none.
func (cl *call) timeout() (time.Duration, conn.Limit) {
	if cl.Timeout != 0 {
		return max(0, cl.Timeout), byMethodTimeout
	}
	return cl.client.cfg.Timeout, byTimeout
}

// attemptTimeout is the limit of one attempt of a call that has the given time, 0 for any;
// 0 is none.
func (cl *call) attemptTimeout(whole time.Duration) (time.Duration, conn.Limit) {
	switch {
	case cl.AttemptTimeout > 0:
		return cl.AttemptTimeout, byMethodAttempt
	case cl.client.cfg.Retry.AttemptTimeout > 0:
		return cl.client.cfg.Retry.AttemptTimeout, byAttempt
	case cl.Idempotent:
		return whole / 2, byAttempt
	}
	return 0, byAttempt
}

// retries is how often the call may be tried again after a server may have executed it.
func (cl *call) retries() int {
	if cl.Retries != 0 {
		return max(0, cl.Retries)
	}
	return cl.client.cfg.Retry.Max
}

// retryable tells whether a server's answer is an error that is tried again.
func (cl *call) retryable(res result) bool {
	err, ok := res.err.(rpc.ServerError)
	return ok && cl.RetryErrors != nil && cl.RetryErrors(err)
}
