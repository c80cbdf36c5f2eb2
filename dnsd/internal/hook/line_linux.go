package hook

import (
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

// line is the TCP connection beneath a request, for what only the kernel knows.
type line struct{ tcp *net.TCPConn }

func lineOf(r *http.Request) line {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	for c != nil {
		if tcp, ok := c.(*net.TCPConn); ok {
			return line{tcp}
		}
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = under.NetConn()
	}
	return line{}
}

// giveUpAfter lets the connection break when what was sent is not acknowledged
// for d (RFC 5482): the peer's host is gone, not only slow.
func (l line) giveUpAfter(d time.Duration) {
	l.control(func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d/time.Millisecond))
	})
}

// unacknowledged is how many bytes the peer's host has not acknowledged.
func (l line) unacknowledged() (n int) {
	l.control(func(fd int) {
		if v, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil {
			n = v
		}
	})
	return n
}

func (l line) control(f func(fd int)) {
	if l.tcp == nil {
		return
	}
	raw, err := l.tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}
