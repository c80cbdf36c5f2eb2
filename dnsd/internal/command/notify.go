package command

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd of a state of the service (sd_notify(3)): a unit of Type=notify.
// Without systemd it does nothing.
func (l *logger) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		l.Warn("systemd was not told: check the unit's Type=notify and NotifyAccess", "state", state, "error", err)
	}
}

// started tells systemd that the server serves, and in words what.
func (l *logger) started(serves string) { l.notify(daemon.SdNotifyReady + "\nSTATUS=" + serves) }

// reloading tells systemd that what follows until started is a reload. systemd compares the
// time with that of the request (Type=notify-reload).
func (l *logger) reloading() {
	if now, ok := monotonic(); ok {
		l.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now))
	}
}

// watchdog tells systemd that the process works, twice in each WatchdogSec=, until ctx ends.
// It shows a process that is stopped or starved, not one that answers slowly: to end that
// one would make it worse.
func (l *logger) watchdog(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		l.Warn("systemd's watchdog is not told: WATCHDOG_USEC or WATCHDOG_PID cannot be read", "error", err)
		return
	}
	if every == 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.notify(daemon.SdNotifyWatchdog)
		case <-ctx.Done():
			return
		}
	}
}

// Tests: command_test.go, script_test.go.
