package rpcclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

const (
	// maxAttempts bounds the attempts of a call that no server has executed, and with
	// them the size of its error. When sixteen nodes in turn are lost before a byte is
	// written, something else is wrong.
	maxAttempts = 16
	retryBase   = 5 * time.Millisecond
	retryCap    = 500 * time.Millisecond
)

// next decides what follows a failed attempt: another one after the delay or, if stop
// is not nil, the end of the call.
func (cl *call) next(ctx context.Context, res result) (delay time.Duration, stop error) {
	c := cl.client
	switch {
	case res.exec == ExecutedYes && !cl.retryable(res): // an answer counts, even if the context has ended since
		return 0, res.err
	case res.phase == PhasePick, is[*conn.EncodeError](res.err):
		return 0, res.err
	case ctx.Err() != nil:
		return 0, conn.ContextError(ctx)
	case c.ctx.Err() != nil:
		return 0, ErrClosed
	case cl.deadline > 0 && c.now() >= cl.deadline:
		return 0, res.err
	case len(cl.failed) >= maxAttempts:
		return 0, res.err
	case is[*RefusedError](res.err):
		return cl.refusedNext(ctx, res)
	case res.exec == ExecutedNever:
		// The first two follow at once, because another node is as good as the first
		// one was. Later ones do not, so that there is no busy loop.
		return backoff(len(cl.failed) - 2), nil
	case res.exec == ExecutedMaybe && !cl.Idempotent, cl.resent >= cl.retries():
		return 0, res.err
	case !c.budget.Spend(c.stats.calls.Load()):
		c.stats.overBudget.Add(1)
		return 0, fmt.Errorf("%w: %w", ErrOverBudget, res.err)
	}
	cl.resent++
	return backoff(cl.resent), nil
}

// refusedNext is next after a refusal. It asks the budget before it waits: what the budget
// forbids is not waited for.
func (cl *call) refusedNext(ctx context.Context, res result) (delay time.Duration, stop error) {
	c := cl.client
	comes := false // a node that is to be waited for
	if !cl.elsewhere() {
		comes = c.awaited()
		switch {
		case !comes && !cl.elsewhere(): // in this order: a node is up before it is no longer awaited
			return 0, res.err
		case comes && (c.cfg.WaitForNode <= 0 || cl.borrowed): // a borrowed argument is not sent again
			return 0, res.err
		}
	}
	if cl.refusals > 1 && !c.budget.Spend(c.stats.calls.Load()) {
		// All servers may shed load, which the tries must not add to.
		c.stats.overBudget.Add(1)
		return 0, fmt.Errorf("%w: %w", ErrOverBudget, res.err)
	}
	if comes {
		return cl.awaitElsewhere(ctx, res.err)
	}
	if cl.refusals == 1 {
		// One node may have more than its share of the load.
		return 0, nil
	}
	return backoff(len(cl.failed) - 2), nil
}

// awaitElsewhere waits for a node that this call has not tried, while one has its first dial
// under way, and returns why there is none. A node that was lost, or whose dial has failed,
// is not waited for: with one dead node in a fleet that sheds load, all calls would wait.
//
// The delay spreads the calls that have waited: all of them find the node at the same moment,
// and together they would be too much for it. It leaves half of the time that the call has.
func (cl *call) awaitElsewhere(ctx context.Context, refusal error) (delay time.Duration, stop error) {
	c := cl.client
	if cl.patience == 0 {
		cl.patience = c.now() + c.cfg.WaitForNode
	}
	until, limit := cl.patience, byWaiting
	if cl.deadline > 0 && cl.deadline < until {
		until, limit = cl.deadline, cl.limit
	}
	timer := time.NewTimer(until - c.now())
	defer timer.Stop()
	for {
		changed := c.changed.next()
		awaited := c.awaited() // before elsewhere: a node is up before it is no longer awaited
		switch {
		case cl.elsewhere():
			return rand.N(max(min(retryCap, (until-c.now())/2), 1)), nil
		case !awaited:
			return 0, refusal
		}
		select {
		case <-changed:
		case <-timer.C:
			return 0, &waitError{limit, refusal}
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", conn.ContextError(ctx), refusal)
		case <-c.ctx.Done():
			return 0, ErrClosed
		}
	}
}

// awaited tells whether the first dial of a node is under way that calls are to go to.
func (c *Client) awaited() bool { return c.awaitedNodes.Load() > 0 }

// backoff is the delay before retry n, with full jitter; 0 if n is not positive.
func backoff(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return rand.N(min(retryCap, retryBase<<min(n-1, 10)))
}
