//go:build unix

package conn

import (
	"net"
	"syscall"
)

// rawWriter writes to a socket without ever waiting for it. One write at a time.
type rawWriter struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // made once: a closure for each write would be garbage
	buf   []byte
	n     int
	err   error
}

// newRawWriter gives access to the socket under nc. It is nil if there is no socket, or
// if something is between, such as TLS.
func newRawWriter(nc net.Conn) *rawWriter {
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
	w := &rawWriter{raw: raw}
	w.write = func(fd uintptr) bool {
		for {
			w.n, w.err = syscall.Write(int(fd), w.buf)
			if w.err != syscall.EINTR {
				return true // whatever the result: it never waits for the socket
			}
		}
	}
	return w
}

// now writes what the kernel takes at once, perhaps nothing.
func (w *rawWriter) now(buf []byte) (n int, err error) {
	w.buf, w.n, w.err = buf, 0, nil
	err = w.raw.Write(w.write)
	w.buf = nil
	if err == nil && w.err != syscall.EAGAIN {
		err = w.err
	}
	return max(w.n, 0), err
}

// Tests: torture_test.go.
