//go:build race

package member

import (
	"os"
	"runtime"
	"testing"
)

// TestMain lets one processor run these tests under the race detector. With two, Go's own
// part of the detector crashes now and then (SIGSEGV, or "CHECK failed", seen with Go 1.26):
// all timers of a bubble of testing/synctest share one context of the detector, which is
// not safe for two threads. A timer that is over when it is set, or that was over when a
// goroutine begins to wait for it, runs in that goroutine, and not in the one of the
// bubble's clock. The detector compares what happened before what, so it finds the same
// races with one processor.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
