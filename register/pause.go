package register

import "time"

// renewAfter is the time that the hook asks for, at least a tenth of a second: no
// answer can cause a busy loop.
func renewAfter(pub Published) time.Duration {
	if pub.RenewAfter <= 0 {
		return fallbackRenew
	}
	return max(pub.RenewAfter.Std(), 100*time.Millisecond)
}

// silence is how long a hold may be silent: a little more than the hook's interval,
// so that a PUT can still save the lease.
func silence(renew time.Duration) time.Duration { return renew + renew/4 }

// jitter spreads renewals over the last fifth before they are due, never after.
func (l *Lease) jitter(renew time.Duration) time.Duration {
	return renew - time.Duration(l.random()*float64(renew)/5)
}

// backoff is the pause after a failed PUT. The next hook is tried at once, and a pause
// comes when all have failed. A Retry-After makes it longer, never shorter, and not so
// long that it costs the lease. It is jittered: many instances may have been given the
// same Retry-After.
func (lp *loop) backoff(err error, renew time.Duration) time.Duration {
	if lp.fails%len(lp.cfg.Hooks) != 0 && (!refused(err) || unwelcome(err)) {
		return 0
	}
	asked, most := retryAfter(err), maxBackoff
	if lp.registrations() > 0 {
		// After a long time away, dnsd begins each lease again when it is back: a pause must
		// be shorter than that lease.
		asked, most = min(asked, renew/2), min(most, renew)
	}
	asked += time.Duration(lp.random() * float64(asked))
	return max(lp.pauseAfter(lp.fails, most), asked)
}

// pauseAfter doubles with each round of failures over all hooks, up to a bound, with full
// jitter.
func (l *Lease) pauseAfter(fails int, most time.Duration) time.Duration {
	first := minBackoff
	if l.registrations() > 0 {
		first = spread
	}
	round := min(max(fails/len(l.cfg.Hooks)-1, 0), 10) // 100 ms << 10 is far above the cap
	return minBackoff/2 + time.Duration(l.random()*float64(min(first<<round, most)))
}

// Tests: loop_test.go.
