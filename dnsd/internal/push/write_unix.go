//go:build unix

package push

import (
	"errors"
	"net"
	"syscall"
)

// rawConn returns c for writeNow, or nil if c is not a socket.
func rawConn(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// writeNow writes what the system takes of p without waiting.
func writeNow(c syscall.RawConn, p []byte) (n int, err error) {
	var wrote error
	err = c.Write(func(fd uintptr) bool {
		for {
			n, wrote = syscall.Write(int(fd), p)
			if wrote != syscall.EINTR {
				return true // done, whether or not the system has taken anything
			}
		}
	})
	n = max(n, 0)
	if err == nil && wrote != nil && !errors.Is(wrote, syscall.EAGAIN) {
		err = wrote
	}
	return n, err
}

// Tests: session_test.go, slow_test.go.
