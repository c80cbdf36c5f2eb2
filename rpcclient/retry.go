package rpcclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

const (
	// maxTries bounds the tries of a call that was surely not executed, and with
	// them the size of its error: when sixteen nodes in turn were lost before a
	// byte was written, something else is wrong.
	maxTries  = 16
	retryBase = 5 * time.Millisecond
	retryCap  = 500 * time.Millisecond
)

// next decides what follows a failed try: another one after the delay, or, if stop
// is not nil, the end of the call.
func (t *task) next(ctx context.Context, res result) (delay time.Duration, stop error) {
	c := t.client
	switch {
	case res.exec == Yes: // an answer counts, whatever has ended meanwhile
		return 0, res.err
	case res.phase == Pick, is[*conn.EncodeError](res.err):
		return 0, res.err
	case ctx.Err() != nil:
		return 0, conn.ContextError(ctx)
	case c.ctx.Err() != nil:
		return 0, ErrClosed
	case t.deadline > 0 && c.now() >= t.deadline:
		return 0, res.err
	case len(t.attempts) >= maxTries:
		return 0, res.err
	case res.exec == Never:
		// At once, for another node is as good as the first one was; but if
		// it happens again and again, not in a loop.
		return backoff(len(t.attempts) - 2), nil
	case !t.Idempotent, t.resent >= c.cfg.Retries:
		return 0, res.err
	case !c.budget.Spend(c.stats.calls.Load()):
		c.stats.overBudget.Add(1)
		return 0, fmt.Errorf("%w: %w", ErrOverBudget, res.err)
	}
	t.resent++
	return backoff(t.resent), nil
}

// backoff is a full-jitter delay before try n; 0 if n is not positive.
func backoff(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return rand.N(min(retryCap, retryBase<<min(n-1, 10)))
}
