//go:build unix

package command

import (
	"os"
	"os/signal"
	"syscall"
)

// reloadSignals read the Corefile again.
var reloadSignals = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1}

// ignoreBrokenPipes lets the server live when the reader of its log has gone: a write
// to a broken pipe on standard error would end the process.
func ignoreBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }

// Tests: command_test.go, script_test.go.
