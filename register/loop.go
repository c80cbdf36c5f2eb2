package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"
)

const (
	// The first retry is soon, because a restart of dnsd takes a moment. Later ones
	// are far apart, because thousands may wait for the same dnsd.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// spread is the time over which registered instances come back to a dnsd: all of
	// them lose it at once.
	spread = time.Second
	// restartFails rounds of failures are more than a restart of dnsd.
	restartFails = 4
	// maxRaise bounds how often a first registration takes a higher incarnation.
	maxRaise = 3
	// A hold that is silent is not tried again for a while: each try costs a Timeout,
	// during which only the rest of the lease protects the instance.
	minHoldPause = time.Minute
	maxHoldPause = time.Hour
	// shortHolds short holds in a row are caused by a proxy, not by a restart of dnsd.
	shortHolds = 3
	// fallbackRenew is used if the hook gives no renew_after: a third of the default
	// lease.
	fallbackRenew = 5 * time.Second
)

// loop is the life of a lease: one PUT after another, with a hold in between. A PUT repeats
// what the hook confirmed last, or has a change that the user wants (see wish).
type loop struct {
	*Lease
	timer    *time.Timer // fires when a renewal is due, or a hold was silent for too long
	wish     wish
	fails    int // renewals failed in a row; before the first registration: PUTs
	strikes  strikes
	again    bool // the next PUT differs from the last: send it at once
	raised   int  // how often a higher incarnation was taken
	short    int  // holds that ended early, in a row
	pause    time.Duration
	noHoldTo time.Time // no hold is tried before this time
}

// run keeps the lease until it is closed or replaced.
func (l *Lease) run(ctx context.Context) {
	defer close(l.ended)
	lp := &loop{Lease: l, timer: time.NewTimer(time.Hour)}
	defer lp.timer.Stop()
	lp.wish.retry, lp.wish.notice = time.NewTimer(time.Hour), l.notice
	lp.wish.retry.Stop() // until a change has failed
	defer lp.wish.retry.Stop()
	for {
		m := lp.next()
		pub, err := l.put(ctx, m)
		if !lp.settle(m, pub, err) {
			return
		}
		again := lp.again
		lp.again = false
		if again && err != nil {
			continue // with the former registration
		}
		if err != nil {
			pub = l.Status().Published
		}
		renew := renewAfter(pub)
		if !m.apart(err) { // otherwise the timer goes on
			pause := lp.hold(ctx, m.reg.Incarnation, renew, err)
			if pause == 0 {
				lp.renewalDue()
				continue // with another hook
			}
			lp.wish.passed = false
			lp.timer.Reset(pause)
		}
		if again {
			continue // with a change that waited for this PUT
		}
		if !lp.wait(renew) {
			return
		}
	}
}

// settle reports the result of a PUT to Keep, Update and Status. It returns false if
// the lease has ended.
func (lp *loop) settle(m message, pub Published, err error) bool {
	l := lp.Lease
	switch {
	case err == nil:
		lp.fails, lp.strikes, l.doubt = 0, 0, false
		l.confirmed(m.reg, pub)
		lp.granted(m, pub)
		l.answerFirst(nil)
		return true
	case status(err) == http.StatusConflict && lp.raise(err):
		return true
	case status(err) == http.StatusConflict:
		err = fmt.Errorf("register: %s/%s: incarnation %d: %w: %w", l.cfg.Service, l.cfg.ID, m.reg.Incarnation, ErrReplaced, err)
		lp.letGo()
		l.end(LeaseReplaced, err)
		lp.answer(err)
		l.answerFirst(err)
		return false
	}
	err = fmt.Errorf("register: %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
	l.doubt = l.doubt || !neverArrived(err)
	if m.change {
		lp.denied(m, err)
	}
	if m.apart(err) {
		return true
	}
	lp.fails++
	lp.strikes.add(err)
	final := lp.strikes.final(err, len(l.cfg.Hooks))
	// hopeless: to wait does not help a caller of Keep. Without one, the loop goes on,
	// for an operator may repair it.
	hopeless := final || mistrusted(err) && int(lp.strikes) >= len(l.cfg.Hooks)
	l.failed(err, lp.fails, hopeless && !l.cfg.Background && l.registrations() == 0)
	if hopeless {
		l.answerFirst(err)
	}
	if final && m.updates {
		lp.answer(err)
		lp.again = true // the registration that Keep was given may be better
	}
	return true
}

// put sends a message. If there are other hooks, one that does not answer gets no more than
// the time between two renewals, so that the next gets it before a short lease ends. A
// change leaves time for a renewal.
func (l *Lease) put(ctx context.Context, m message) (Published, error) {
	timeout := l.cfg.Timeout
	if st := l.Status(); st.Registrations > 0 {
		renew := renewAfter(st.Published)
		if len(l.cfg.Hooks) > 1 {
			timeout = min(timeout, renew)
		}
		if m.change { // a lease is three times renew, and the change may be tried twice
			timeout = min(timeout, max(time.Until(st.Confirmed.Add(2*renew)), renew/2))
		}
	}
	var pub Published
	base := l.client.base()
	err := l.client.do(ctx, timeout, http.MethodPut, l.path, m.reg, &pub)
	if _, answered := asType[*answer](err); answered && m.due && !unwelcome(err) {
		l.client.back(base) // which may take the renewal
	}
	return pub, err
}

// raise takes a higher incarnation if the one made from this process' clock was
// refused because the clock was set back: the registered incarnation lies in the
// future. A process that was registered, or that waited while a newer one
// registered, stays fenced.
func (lp *loop) raise(err error) bool {
	l := lp.Lease
	a, _ := asType[*answer](err)
	now := uint64(time.Now().UnixMilli())
	if !l.cfg.ownIncarnation || l.registrations() > 0 || l.doubt || lp.raised == maxRaise ||
		a.Incarnation <= now || a.Incarnation == math.MaxUint64 {
		return false
	}
	lp.raised++
	lp.again = true
	l.mu.Lock()
	l.reg.Incarnation = a.Incarnation + 1
	l.mu.Unlock()
	l.log(slog.LevelWarn, "the clock was set back: taking a higher incarnation than the registered one", "incarnation", a.Incarnation+1)
	return true
}

// letGo ends the hold, if there is one.
func (lp *loop) letGo() {
	lp.held.close()
	lp.held = nil
}

// hold opens a hold if that is possible, after a PUT that ended with err. It returns
// how long to wait for a renewal before the next PUT; 0: do not wait.
func (lp *loop) hold(ctx context.Context, incarnation uint64, renew time.Duration, err error) time.Duration {
	l := lp.Lease
	if err != nil {
		lp.letGo() // if a renewal fails, the hold cannot be trusted either
		return lp.backoff(err, renew)
	}
	if l.held != nil && l.held.base != l.client.base() {
		lp.letGo()
	}
	if l.held != nil && l.held.spoke {
		l.held.follow(renew)
		return silence(renew)
	}
	l.enter(LeaseRenewed)
	if l.held == nil && !l.cfg.NoHold && !time.Now().Before(lp.noHoldTo) {
		l.held = openHold(ctx, l.client, fmt.Sprintf("%s/hold?heartbeat=1&incarnation=%d", l.path, incarnation), renew, l.jitter)
		return min(l.cfg.Timeout, silence(renew)) // the lease runs during the wait
	}
	return l.jitter(renew)
}

// wait waits until a PUT is due. It returns false if the lease is to end.
func (lp *loop) wait(renew time.Duration) bool {
	l := lp.Lease
	for {
		var beats, waiting, changed chan struct{}
		var ended chan error
		if l.held != nil {
			beats, waiting, changed, ended = l.held.beats, l.held.waiting, l.held.changed, l.held.ended
		}
		select {
		case <-beats: // first: during a slow PUT of a change the timer may have fired, too
			lp.heard(renew)
		default:
		}
		select {
		case <-lp.timer.C: // before a change: a renewal cannot wait
			lp.silent()
			lp.renewalDue()
			return true
		default:
		}
		select {
		case <-l.stop:
			lp.answer(errClosed)
			return false
		case c := <-l.changes:
			lp.answer(l.overtaken())
			lp.wish.update = c
			if lp.mayAsk() {
				return true // otherwise the next try, which is due later, sends it
			}
		case <-l.drain.poke:
			if l.due() && lp.mayAsk() {
				return true
			}
		case <-lp.wish.retry.C:
			if lp.fails > 0 { // it is tried with each renewal
				lp.wish.retry.Reset(l.jitter(renew))
				continue
			}
			lp.wish.turn = true
			return true
		case <-lp.timer.C:
			lp.silent()
			lp.renewalDue()
			return true
		case <-beats:
			lp.heard(renew)
		case <-waiting:
			l.held.spoke, l.held.works = true, true
			lp.timer.Reset(lp.patience(renew))
		case <-changed: // the answer to a PUT shows what is published
			lp.wish.turn = lp.wishes() && lp.wish.unsure // it may be the change that is published
			lp.wish.due = lp.wish.turn                   // if it fails, what was confirmed asks
			return true
		case why := <-ended:
			lp.timer.Reset(lp.broken(why, renew))
		}
	}
}

// heard notes a renewal on the hold.
func (lp *loop) heard(renew time.Duration) {
	h := lp.held
	h.spoke = true
	if time.Since(h.began) > renew/2 { // this answers a heartbeat, not the request
		h.works = true
		lp.short, lp.pause = 0, 0
	}
	lp.beat()
	lp.timer.Reset(silence(renew))
}

// patience is how long a hold whose hook finds no writer may go on without a renewal. If
// another hook is in the list, it may find the writer, and half of the time between two
// renewals is left for a request to that. With a lease of 15 s it is 12.5 s since the last
// renewal: a writer that dies is replaced within 7 s, and a renewal was due within 5 s.
func (lp *loop) patience(renew time.Duration) time.Duration {
	if len(lp.cfg.Hooks) == 1 {
		return silence(renew)
	}
	until := lp.Status().Confirmed.Add(3*renew - renew/2) // a lease is three times renew
	return max(min(time.Until(until), silence(renew)), 0)
}

// silent gives up a hold that is silent: a proxy buffers, or the hook hangs.
func (lp *loop) silent() {
	switch {
	case lp.held == nil: // a renewal is due
		return
	case lp.held.works:
		lp.client.next(lp.held.base) // the hook hangs, most likely, or finds no writer
	case lp.held.spoke: // a proxy does not pass the body on
		lp.holdLater("its heartbeats are not answered")
	default:
		lp.holdLater("no answer to the hold")
	}
	lp.letGo()
}

// broken forgets a hold that ended, and returns the pause before the next PUT.
func (lp *loop) broken(why error, renew time.Duration) time.Duration {
	l := lp.Lease
	h := l.held
	l.held = nil
	h.cancel()
	if errors.Is(why, errCannotHold) {
		lp.holdLater(why)
		l.enter(LeaseRenewed)
		return l.jitter(renew) // it was registered just now: there is nothing to repeat
	}
	if time.Since(h.began) < renew {
		lp.short++
	}
	if lp.short >= shortHolds {
		lp.short = 0
		lp.holdLater("it ends early each time")
	}
	l.broke(why)
	return time.Duration(l.random() * float64(min(spread, renew)))
}

// holdLater keeps the lease by PUTs for a while, longer each time.
func (lp *loop) holdLater(why any) {
	lp.pause = min(max(2*lp.pause, minHoldPause), maxHoldPause)
	lp.noHoldTo = time.Now().Add(lp.pause)
	lp.log(slog.LevelInfo, "renewing instead of holding", "cause", why, "for", lp.pause)
}
