package push

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// settle lets the system find a client that is gone: within 30 s while nothing is sent, and
// as soon if something is sent and not acknowledged. No goroutine wakes for it.
func settle(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	t.SetKeepAliveConfig(probes)
	if raw, err := t.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			limit := probes.Idle + time.Duration(probes.Count)*probes.Interval
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit/time.Millisecond))
		})
	}
}

// Tests: session_test.go.
