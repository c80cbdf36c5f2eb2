package register

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"
)

// LeaseState is the state of a [Lease].
type LeaseState uint8

// The states of a lease.
const (
	LeaseRegistering LeaseState = iota // not registered yet
	LeaseHeld                          // registered, held by an open request
	LeaseRenewed                       // registered, kept by renewals
	LeaseRetrying                      // was registered; no hook confirms it now
	LeaseReplaced                      // a newer incarnation is registered; final
	LeaseClosed                        // Close was called; final
)

// String is the word for logs and metrics.
func (s LeaseState) String() string {
	switch s {
	case LeaseRegistering:
		return "registering"
	case LeaseHeld:
		return "held"
	case LeaseRenewed:
		return "renewed"
	case LeaseRetrying:
		return "retrying"
	case LeaseReplaced:
		return "replaced"
	case LeaseClosed:
		return "closed"
	}
	return "unknown"
}

// Status describes a [Lease] at one moment.
type Status struct {
	State       LeaseState
	Service, ID string
	Hook        string    // base URL in use
	Published   Published // the last answer of the hook; zero before the first
	Confirmed   time.Time // when the hook last confirmed or renewed the lease
	Since       time.Time // when State was entered
	Err         error     // the last failure; nil once the hook has confirmed again
	// Pending is why a change (Update, Drain, Undrain) is not in force yet, while the lease
	// is kept without it and the change is tried again. Nil: no change has failed.
	Pending error

	Registrations uint64 // PUTs answered with success
	Beats         uint64 // renewals confirmed on holds
	Failures      uint64 // requests that failed and holds that broke
}

// confirmed records an accepted registration.
func (l *Lease) confirmed(reg Registration, pub Published) {
	l.mu.Lock()
	first := l.status.Registrations == 0
	drained, was := pub.byOperator(), l.status.Published.byOperator()
	l.reg = reg
	l.status.Published = pub
	l.status.Confirmed = time.Now()
	l.status.Err = nil
	l.status.Registrations++
	l.mu.Unlock()
	if l.notice.over() || first {
		l.notice.say("is registered as %s at %s", net.JoinHostPort(pub.Host, strconv.Itoa(int(pub.Port))), l.client.base())
	}
	if drained == was {
		return
	}
	level, text := slog.LevelWarn, "drained by an operator: new clients are sent elsewhere"
	if !drained {
		level, text = slog.LevelInfo, "no longer drained: clients are sent here again"
	}
	l.notice.say("is %s", text)
	l.log(level, "instance "+text)
	l.tell()
}

// beat records a renewal that the hold confirmed.
func (l *Lease) beat() {
	l.mu.Lock()
	l.status.Beats++
	l.status.Confirmed = time.Now()
	l.mu.Unlock()
	l.enter(LeaseHeld)
}

// failed records a PUT that did not succeed, the fails-th in a row. final: it is not
// repeated.
func (l *Lease) failed(err error, fails int, final bool) {
	l.mu.Lock()
	l.status.Err = err
	l.status.Failures++
	was := l.status.State
	l.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return // Close or abort cancelled it
	}
	switch {
	case final:
		l.log(slog.LevelError, "registration refused", "err", err) // and Keep returns it
	case was == LeaseRegistering && fails < len(l.cfg.Hooks):
		l.log(slog.LevelInfo, "registration failed, trying the next hook", "err", err)
	case was == LeaseRegistering:
		level := slog.LevelDebug // there may be a try each few seconds, for hours
		if l.notice.trouble(time.Now(), "is not registered, so no client finds it; trying again: %s", l.notice.cause(err)) {
			level = slog.LevelWarn
		}
		l.log(level, "registration failed, trying again", "err", err)
	case fails < len(l.cfg.Hooks):
		l.log(slog.LevelInfo, "registration not confirmed, trying the next hook", "err", err)
	default:
		l.enter(LeaseRetrying) // which is the first warning of a Logger
		if !l.notice.quiet && fails < restartFails*len(l.cfg.Hooks) {
			return // the standard logger has no line about a dnsd that starts again
		}
		level := slog.LevelDebug
		if l.notice.trouble(time.Now(), "is not confirmed by dnsd any more; trying again: %s", l.notice.cause(err)) {
			level = slog.LevelWarn
		}
		if was == LeaseRetrying {
			l.log(level, "registration not confirmed, trying again", "err", err)
		}
	}
}

// broke records a hold that ended; the next PUT shows why.
func (l *Lease) broke(why error) {
	l.mu.Lock()
	l.status.Failures++
	l.mu.Unlock()
	l.log(slog.LevelInfo, "hold ended, registering again", "cause", why)
}

// enter changes the state and reports the change.
func (l *Lease) enter(s LeaseState) {
	l.mu.Lock()
	was := l.status.State
	if was == s || was == LeaseClosed || was == LeaseReplaced {
		l.mu.Unlock()
		return
	}
	l.status.State = s
	l.status.Since = time.Now()
	err := l.status.Err
	l.mu.Unlock()
	level := slog.LevelInfo
	args := []any{"state", s.String(), "was", was.String()}
	if err != nil {
		args = append(args, "err", err)
		if s != LeaseClosed { // which the program has asked for
			level = slog.LevelWarn
		}
	}
	if s == LeaseReplaced {
		level = slog.LevelError // no new client finds this process, and nothing repairs that
	}
	msg := "registration " + s.String()
	if was == LeaseRegistering && (s == LeaseHeld || s == LeaseRenewed) {
		msg = "registered" // how the lease is kept is known later
	}
	l.log(level, msg, args...)
	l.tell()
}

// end is the last change of state. Only the first call has an effect.
func (l *Lease) end(s LeaseState, err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	l.status.Pending = nil // it is not tried again
	registered := l.status.Registrations > 0
	if s == LeaseReplaced {
		l.status.Err = err
	}
	l.mu.Unlock()
	if s == LeaseReplaced && (registered || l.cfg.Background) { // else Keep returns it
		l.notice.say("is not registered any more, and no new client finds this process: %s", l.notice.cause(err))
	}
	l.enter(s)
	close(l.done)
}

func (l *Lease) log(level slog.Level, msg string, args ...any) {
	l.cfg.Logger.Log(context.Background(), level, msg,
		append([]any{"service", l.cfg.Service, "id", l.cfg.ID, "hook", l.client.base()}, args...)...)
}

// Tests: lease_test.go, levels_test.go, notice_test.go.
