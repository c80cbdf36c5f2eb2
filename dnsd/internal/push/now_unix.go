//go:build unix

package push

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// rawConn returns c for writeNow and readNow, or nil if c is not a socket.
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

// nowCall is one call of the system that does not wait. A pool has them, because what is given
// to Control is allocated.
type nowCall struct {
	p           []byte
	n           int
	err         error
	write, read func(fd uintptr) // are to and from
}

var nowCalls = sync.Pool{New: func() any {
	c := new(nowCall)
	c.write, c.read = c.to, c.from
	return c
}}

func (c *nowCall) to(fd uintptr) {
	for {
		c.n, c.err = send(fd, c.p)
		if c.err != syscall.EINTR {
			return // done, whether or not the system has taken anything
		}
	}
}

func (c *nowCall) from(fd uintptr) {
	for {
		c.n, c.err = syscall.Read(int(fd), c.p)
		if c.err != syscall.EINTR {
			return
		}
	}
}

// do makes the call on a socket. again says that it would have had to wait. RawConn.Write and
// RawConn.Read would make ready to wait each time.
func (c *nowCall) do(raw syscall.RawConn, p []byte, call func(fd uintptr)) (n int, again bool, err error) {
	c.p, c.n, c.err = p, 0, nil
	if err = raw.Control(call); err == nil {
		err = c.err
	}
	n, c.p = max(c.n, 0), nil
	nowCalls.Put(c)
	if errors.Is(err, syscall.EAGAIN) {
		return n, true, nil
	}
	return n, false, err
}

// writeNow writes what the system takes of p without waiting.
func writeNow(raw syscall.RawConn, p []byte) (n int, err error) {
	c := nowCalls.Get().(*nowCall)
	n, _, err = c.do(raw, p, c.write)
	return n, err
}

// readNow reads what there is, as Wire.Read.
func readNow(raw syscall.RawConn, p []byte) (n int, err error) {
	c := nowCalls.Get().(*nowCall)
	n, again, err := c.do(raw, p, c.read)
	switch {
	case again:
		return 0, os.ErrDeadlineExceeded
	case n == 0 && err == nil && len(p) > 0:
		return 0, io.EOF
	}
	return n, err
}

// Tests: wire_test.go, slow_test.go.
