//go:build !linux

package push

import "net"

// settle lets the system find a client that is gone: within 30 s while nothing is sent.
func settle(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(probes)
	}
}

// Tests: session_test.go.
