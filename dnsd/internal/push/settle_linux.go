package push

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// mostUnsent is how many octets the system takes that it cannot send yet. Without it, a client
// that does not read costs the system the whole buffer of its socket, and dnsd sees half a
// minute later that it does not read. What is on its way is not bounded by it, so that long
// distances do not make it slow.
const mostUnsent = 64 << 10

// settle lets the system find a client that is gone: within 30 s while nothing is sent, and
// as soon if something is sent and not acknowledged. No goroutine wakes for it. It also bounds
// what the system keeps for a client that does not read.
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
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, mostUnsent)
		})
	}
}

// Tests: settle_linux_test.go, session_test.go.
