package peertest

import (
	"io"
	"net"
	"sync"
	"time"
)

// memory is one direction of a connection in memory.
type memory struct {
	mu     sync.Mutex // guards what follows
	more   sync.Cond
	data   []byte
	closed bool
}

func newMemory() *memory {
	m := new(memory)
	m.more.L = &m.mu
	return m
}

func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.more.Broadcast()
}

// memoryConn is one end of a connection in memory. Of net.Conn it has what is used.
type memoryConn struct {
	net.Conn
	in, out *memory
}

// MemoryPipe is a connection in memory, both ends. Its writes never wait for a reader:
// in fake time, a write that waits for a reader that waits for a lock of the writer would
// stop the clock. It has the methods of net.Conn that net/rpc and rpcclient use.
func MemoryPipe() (a, b net.Conn) {
	x, y := newMemory(), newMemory()
	return &memoryConn{in: x, out: y}, &memoryConn{in: y, out: x}
}

func (c *memoryConn) Read(p []byte) (int, error) {
	m := c.in
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.data) == 0 {
		if m.closed {
			return 0, io.EOF
		}
		m.more.Wait()
	}
	n := copy(p, m.data)
	m.data = m.data[n:]
	return n, nil
}

func (c *memoryConn) Write(p []byte) (int, error) {
	m := c.out
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, io.ErrClosedPipe
	}
	m.data = append(m.data, p...)
	m.more.Broadcast()
	return len(p), nil
}

func (c *memoryConn) CloseWrite() error {
	c.out.close()
	return nil
}

func (c *memoryConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
