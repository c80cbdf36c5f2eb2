//go:build unix

package push

import (
	"errors"
	"net"
	"sync"
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

// nowWriter is one write. A pool has them, because what is given to Control is allocated.
type nowWriter struct {
	p     []byte
	n     int
	err   error
	write func(fd uintptr) // is to
}

var nowWriters = sync.Pool{New: func() any {
	w := new(nowWriter)
	w.write = w.to
	return w
}}

func (w *nowWriter) to(fd uintptr) {
	for {
		w.n, w.err = send(fd, w.p)
		if w.err != syscall.EINTR {
			return // done, whether or not the system has taken anything
		}
	}
}

// writeNow writes what the system takes of p without waiting. RawConn.Write would make ready
// to wait each time. No one else writes: see session.writing.
func writeNow(c syscall.RawConn, p []byte) (n int, err error) {
	w := nowWriters.Get().(*nowWriter)
	w.p, w.n, w.err = p, 0, nil
	if err = c.Control(w.write); err == nil && w.err != nil && !errors.Is(w.err, syscall.EAGAIN) {
		err = w.err
	}
	n = max(w.n, 0)
	w.p = nil
	nowWriters.Put(w)
	return n, err
}

// Tests: session_test.go, slow_test.go.
