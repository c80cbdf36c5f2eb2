//go:build !linux

package resolver

import (
	"net"
	"time"
)

// limitUnacknowledged does nothing: on this system a dead host is found by the next
// KeepAlive of the session, within a minute.
func limitUnacknowledged(*net.TCPConn, time.Duration) {}

// Tests: pushalive_test.go.
