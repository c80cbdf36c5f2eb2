//go:build unix

package rpcserver_test

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used: a measure that other processes disturb
// less than they do the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
