package resolver

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged bounds the time for which something that was sent may stay without an
// acknowledgment. While something is not acknowledged, the kernel sends no keepalives, and
// without the bound it tries for 15 minutes.
func limitUnacknowledged(tcp *net.TCPConn, limit time.Duration) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit/time.Millisecond))
	})
}

// Tests: pushalive_linux_test.go.
