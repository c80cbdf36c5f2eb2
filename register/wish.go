package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// wish is what the user wants and the hook has not confirmed: the Update under way, and
// Drain or Undrain (see drain). A hook may take renewals and no changes, for example while
// dnsd's disk is full. So a change that fails is tried again with its own growing pause, and
// in between the lease is renewed with what the hook confirmed last. A hold goes on.
//
// If the answer to a change is lost, the hook may have made it, and to repeat what was
// confirmed before would undo it for a moment. So when a renewal is due then, the change is
// tried first. That is one try for each renewal that is due: after it, each hook in turn gets
// what was confirmed. Otherwise, with two hooks, all changes could go to the one that works,
// and all renewals to the one that is away.
type wish struct {
	update  *change     // nil: there is none
	retry   *time.Timer // fires when the change is to be tried again
	tries   int         // PUTs with a change failed in a row
	strikes strikes
	unsure  bool // one of them may have been executed
	turn    bool // the next PUT has the change
	due     bool // it takes the place of a renewal that is due
	former  bool // the last PUT with a change had the Update
	passed  bool // the change took the place of the renewal that is due, and was not taken
	notice  notice
}

// message is one PUT.
type message struct {
	reg     Registration
	change  bool   // it differs from what the hook confirmed last, and the lease was confirmed
	updates bool   // it has the Update under way
	due     bool   // a renewal is due: if the change is not taken, what was confirmed is sent
	drain   bool   // what was wanted last,
	asks    uint64 // and how often anything was
}

// next is the PUT to send now. There is one change in it at most, so that a refusal is of
// one. The first registration has all that is wanted.
func (lp *loop) next() message {
	l, w := lp.Lease, &lp.wish
	drain, asks, drains := l.wanted()
	m := message{reg: l.Registration(), drain: drain, asks: asks}
	if l.registrations() == 0 {
		m.updates = w.update != nil
		if m.updates {
			m.reg = w.update.reg
		}
		m.reg.Drain = drain
	} else if m.change = w.turn && lp.wishes(); m.change {
		m.due = w.due
		m.updates = w.update != nil && (!drains || w.tries > 0 && !w.former) // in turn, while both fail
		if m.updates {
			drain = m.reg.Drain // as it was confirmed
			m.reg = w.update.reg
		}
		m.reg.Drain = drain
		w.former = m.updates
	}
	m.reg.Incarnation = l.incarnation()
	w.turn, w.due = false, false
	return m
}

// wishes reports whether the hook has confirmed the lease, but not all that the user wants.
func (lp *loop) wishes() bool {
	return lp.registrations() > 0 && (lp.wish.update != nil || lp.due())
}

// mayAsk lets the next PUT have a change that the user has just asked for. It returns false
// if a try is due later.
func (lp *loop) mayAsk() bool {
	lp.wish.turn = lp.fails == 0 && lp.wish.tries == 0
	return lp.wish.turn
}

// renewalDue chooses what is sent for a renewal.
func (lp *loop) renewalDue() {
	w := &lp.wish
	w.turn = lp.wishes() && (w.unsure || lp.fails > 0) && !w.passed
	w.due = w.turn
}

// apart reports whether the failure of a PUT says nothing about renewals.
func (m *message) apart(err error) bool {
	return err != nil && m.change && (!m.due || !unreached(err))
}

// granted ends the calls of Update, Drain and Undrain whose change was in a PUT that was
// accepted.
func (lp *loop) granted(m message, pub Published) {
	l, w := lp.Lease, &lp.wish
	w.unsure = false
	if m.reg.Drain == m.drain {
		l.agreed(m.asks, pub)
	}
	if m.updates {
		lp.answer(nil)
	}
	wishes := lp.wishes()
	if m.change || !wishes {
		w.tries, w.strikes = 0, 0
		l.setPending(nil)
	}
	if !wishes && w.notice.over() {
		w.notice.say("is changed")
		l.log(slog.LevelInfo, "change taken")
	}
	if wishes && w.tries == 0 { // it waited for this PUT
		lp.again, w.turn = true, true
	}
}

// denied is the failure of a PUT with a change. The change is dropped if all hooks would
// refuse it, and tried again otherwise.
func (lp *loop) denied(m message, err error) {
	l, w := lp.Lease, &lp.wish
	w.tries++
	w.strikes.add(err)
	if w.strikes.final(err, len(l.cfg.Hooks)) {
		l.log(slog.LevelWarn, "change refused, the former registration goes on", "err", err)
		w.tries, w.strikes, w.unsure = 0, 0, false
		w.notice.over()
		l.setPending(nil)
		var heard bool
		if m.updates {
			heard = !w.update.gone.Load()
			lp.answer(err)
		} else {
			heard = l.disagreed(m.reg, m.asks, err)
		}
		if !heard {
			w.notice.say("is not changed, because dnsd refuses that: %s", w.notice.cause(err))
		}
		lp.again = true // the former registration is still valid: send it at once
		return
	}
	w.unsure = w.unsure || !neverArrived(err) && status(err) != http.StatusInsufficientStorage
	w.retry.Reset(lp.changePause(err))
	l.setPending(err)
	if !m.apart(err) {
		return // the renewal failed, too, which is logged and counted
	}
	if m.due {
		lp.again, w.passed = true, true
		lp.fails -= lp.fails % len(l.cfg.Hooks) // each hook gets the renewal before a pause
	}
	l.mu.Lock()
	l.status.Failures++
	l.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return // Close or abort cancelled it
	}
	n := &w.notice
	switch {
	case w.tries < len(l.cfg.Hooks):
		l.log(slog.LevelInfo, "change not taken, trying the next hook", "err", err)
		return
	case !n.quiet && w.tries < restartFails*len(l.cfg.Hooks):
		return // the standard logger has no line about a dnsd that starts again
	}
	level := slog.LevelDebug // there may be a try each few seconds, for hours
	if n.trouble(time.Now(), "is registered, but its change is not taken; trying again: %s", n.cause(err)) {
		level = slog.LevelWarn
	}
	l.log(level, "change not taken, trying again", "err", err)
}

// answer ends the Update under way, if there is one.
func (lp *loop) answer(err error) {
	lp.wish.update.answer(err)
	lp.wish.update = nil
}

// changePause is the pause after a change that was not taken. The lease is renewed
// meanwhile, so a Retry-After is obeyed in full.
func (lp *loop) changePause(err error) time.Duration {
	if lp.wish.tries%len(lp.cfg.Hooks) != 0 {
		return 0 // the next hook is tried at once
	}
	asked := retryAfter(err)
	asked += time.Duration(lp.random() * float64(asked))
	return max(lp.pauseAfter(lp.wish.tries, maxBackoff), asked)
}

// setPending records why a change is not in force yet.
func (l *Lease) setPending(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Pending = err
}

// givenUp is the error of a call that waits no longer for its change: the last failure, if
// there was one, and the cause.
func (l *Lease) givenUp(what string, cause error) error {
	st := l.Status()
	why := st.Pending
	if why == nil {
		why = st.Err
	}
	if why == nil {
		return fmt.Errorf("register: %s %s/%s: %w", what, l.cfg.Service, l.cfg.ID, cause)
	}
	return fmt.Errorf("%w; gave up the wait for %s: %w", why, what, cause) // why names service and id
}

// Tests: model_test.go, levels_test.go, notice_test.go, taken_test.go.
