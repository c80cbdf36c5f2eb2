package hook

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// knowsAcknowledgements: the kernel tells what the peer's host has acknowledged.
const knowsAcknowledgements = true

// giveUpAfter breaks the connection if what was sent is not acknowledged for d (RFC
// 5482): the peer's host is gone, not only slow.
func giveUpAfter(c net.Conn, d time.Duration) {
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d/time.Millisecond))
	})
}

// unacknowledged is how many bytes the peer's host has not acknowledged.
func unacknowledged(c net.Conn) (n int) {
	control(c, func(fd int) {
		if v, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil {
			n = v
		}
	})
	return n
}

// lastHeard is how long ago the peer's host last acknowledged something.
func lastHeard(c net.Conn) (d time.Duration) {
	control(c, func(fd int) {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(info.Last_ack_recv) * time.Millisecond
		}
	})
	return d
}

func control(c net.Conn, f func(fd int)) {
	tcp, ok := tcpOf(c)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}
