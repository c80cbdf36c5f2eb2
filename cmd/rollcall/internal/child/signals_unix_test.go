//go:build unix

package child

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
)

// TestIgnoredSignalsAreNotTaken: to be told of a signal ends that it is ignored, also in
// the program.
func TestIgnoredSignalsAreNotTaken(t *testing.T) {
	signal.Ignore(syscall.SIGUSR2, syscall.SIGHUP)
	defer func() { // only this makes them what they were
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGUSR2, syscall.SIGHUP)
		signal.Stop(c)
		if !slices.Contains(Passed(), os.Signal(syscall.SIGUSR2)) || !slices.Contains(Ending(), os.Signal(syscall.SIGHUP)) {
			t.Error("a signal that is not ignored is not taken")
		}
	}()
	for _, s := range slices.Concat(Passed(), Ending()) {
		if s == syscall.SIGUSR2 || s == syscall.SIGHUP {
			t.Errorf("%v is taken", s)
		}
	}
	if !slices.Contains(Passed(), os.Signal(syscall.SIGTERM)) {
		t.Error("SIGTERM is not passed on")
	}
}
