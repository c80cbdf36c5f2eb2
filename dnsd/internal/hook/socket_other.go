//go:build !linux

package hook

import (
	"net"
	"time"
)

// These kernels do not tell what the peer's host has acknowledged.

const knowsAcknowledgements = false

func giveUpAfter(net.Conn, time.Duration)    {}
func unacknowledged(net.Conn) (bytes int)    { return 0 }
func lastHeard(net.Conn) (ago time.Duration) { return 0 }

// Tests: hold_test.go.
