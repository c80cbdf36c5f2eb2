//go:build !unix

package command

import "os"

// reloadSignals read the Corefile again: this system has no such signal.
var reloadSignals []os.Signal

func ignoreBrokenPipes() {}

// Tests: command_test.go.
