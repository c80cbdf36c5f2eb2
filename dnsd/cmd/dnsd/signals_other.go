//go:build !unix

package main

import "os"

// reloadSignals read the Corefile again: here there is no such signal.
var reloadSignals []os.Signal

func ignoreBrokenPipes() {}
