//go:build !unix

package main

import "os"

// reloadSignals read the Corefile again: this system has no such signal.
var reloadSignals []os.Signal

func ignoreBrokenPipes() {}

// Tests: main_test.go.
