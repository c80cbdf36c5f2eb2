//go:build unix

package rpcclient

import (
	"net"
	"syscall"
)

// rawConn gives access to the socket under nc, nil if there is none or something
// (TLS) stands in between.
func rawConn(nc net.Conn) syscall.RawConn {
	var sc syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		sc = nc
	case *net.UnixConn:
		sc = nc
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// writeNow writes what the kernel takes at once, perhaps nothing.
func writeNow(raw syscall.RawConn, buf []byte) (n int, err error) {
	var werr error
	err = raw.Write(func(fd uintptr) bool {
		for {
			n, werr = syscall.Write(int(fd), buf)
			if werr != syscall.EINTR {
				return true // done, whatever it was: never wait for the socket
			}
		}
	})
	n = max(n, 0)
	if werr == syscall.EAGAIN {
		werr = nil
	}
	if err == nil {
		err = werr
	}
	return n, err
}
