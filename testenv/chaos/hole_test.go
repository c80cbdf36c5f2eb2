//go:build unix

package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
)

// hole is a network path that can swallow all bytes, in both directions, without
// closing a connection.
type hole struct {
	net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex // guards the rest
	cond  sync.Cond
	dest  string
	mute  bool
	done  bool
	conns []net.Conn
}

func newHole(t testing.TB) *hole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{Listener: l}
	h.cond.L = &h.mu
	h.wg.Go(h.accept)
	t.Cleanup(func() {
		h.mu.Lock()
		h.done = true
		h.cond.Broadcast()
		for _, c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		l.Close()
		h.wg.Wait()
	})
	return h
}

// to sets the address that the path leads to.
func (h *hole) to(addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dest = addr
	h.cond.Broadcast()
}

func (h *hole) swallow(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mute = on
	h.cond.Broadcast()
}

// pass waits until the path is open, and returns false when it is closed for good.
func (h *hole) pass() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for (h.mute || h.dest == "") && !h.done {
		h.cond.Wait()
	}
	return !h.done
}

func (h *hole) keep(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, c)
	if h.done {
		c.Close()
	}
}

func (h *hole) accept() {
	for {
		in, err := h.Accept()
		if err != nil {
			return
		}
		h.keep(in)
		h.wg.Go(func() {
			defer in.Close()
			if !h.pass() {
				return
			}
			out, err := net.Dial("tcp", h.dest)
			if err != nil {
				return
			}
			h.keep(out)
			h.wg.Go(func() { h.copy(in, out) })
			h.copy(out, in)
		})
	}
}

func (h *hole) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !h.pass() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err == io.EOF || err != nil {
			return
		}
	}
}
