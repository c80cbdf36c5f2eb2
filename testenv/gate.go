package testenv

import (
	"net"
	"sync"
	"time"
)

// A Fault is what is wrong with a node.
type Fault int

const (
	// Healthy is no fault.
	Healthy Fault = iota
	// Kill ends the node as SIGKILL would: its port refuses connections, the open
	// ones are reset, and it does not deregister. See Env.Restart.
	Kill
	// Hang accepts connections and bytes and never answers, like a process whose
	// methods are stuck. It keeps its registration. When the fault ends, the node
	// goes on with what it received.
	Hang
	// Refuse resets connections and refuses new ones while the process lives and
	// keeps its registration.
	Refuse
	// Delay sends each answer Setup.Delay late.
	Delay
	// Freeze is a process that is stopped (SIGSTOP, a debugger): as Hang, and dnsd
	// hears nothing from it either, though all its connections stay open.
	Freeze
)

// String is the fault's name in lower case.
func (f Fault) String() string {
	return [...]string{"healthy", "kill", "hang", "refuse", "delay", "freeze"}[f]
}

// A gate is a node's listener; it applies the fault.
type gate struct {
	addr  string
	delay time.Duration

	mu      sync.Mutex // guards the fields below
	fault   Fault
	ln      net.Listener // nil while refusing
	conns   map[*gateConn]struct{}
	changed chan struct{} // closed when fault changes
	closed  bool
}

func newGate(delay time.Duration) (*gate, error) {
	ln, err := net.Listen("tcp", freeAddr()) // set opens it again
	if err != nil {
		return nil, err
	}
	return &gate{
		addr: ln.Addr().String(), delay: delay, ln: ln,
		conns: map[*gateConn]struct{}{}, changed: make(chan struct{}),
	}, nil
}

// set changes the fault. Refuse and Kill close the port and reset connections;
// any other fault opens the port again.
func (g *gate) set(f Fault) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	g.fault = f
	close(g.changed)
	g.changed = make(chan struct{})
	if f == Refuse || f == Kill {
		g.shutLocked()
		return nil
	}
	if g.ln == nil {
		ln, err := net.Listen("tcp", g.addr)
		if err != nil {
			return err
		}
		g.ln = ln
	}
	return nil
}

// shutLocked closes the port and resets every connection.
func (g *gate) shutLocked() {
	if g.ln != nil {
		g.ln.Close()
		g.ln = nil
	}
	for c := range g.conns {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // an RST, as from a dead process's kernel
		}
		c.Conn.Close()
	}
}

// Accept implements net.Listener. While the port is shut it waits.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		ln, changed, closed := g.ln, g.changed, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if ln == nil {
			<-changed
			continue
		}
		conn, err := ln.Accept()
		if err != nil {
			continue // shut or closed: the loop sees which
		}
		c := &gateConn{Conn: conn, gate: g, done: make(chan struct{})}
		g.mu.Lock()
		if g.ln != ln { // shut meanwhile
			g.mu.Unlock()
			conn.Close()
			continue
		}
		g.conns[c] = struct{}{}
		g.mu.Unlock()
		return c, nil
	}
}

// Addr implements net.Listener.
func (g *gate) Addr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", g.addr)
	if err != nil {
		panic(err) // it was a listener's own address
	}
	return a
}

// Close implements net.Listener: no new connections, the present ones stay.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	close(g.changed)
	g.changed = make(chan struct{})
	if g.ln != nil {
		g.ln.Close()
		g.ln = nil
	}
	return nil
}

// now is the present fault, and a channel that is closed when it changes.
func (g *gate) now() (Fault, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault, g.changed
}

// A gateConn is a connection through a gate, seen from the node.
type gateConn struct {
	net.Conn
	gate *gate
	once sync.Once
	done chan struct{}
}

// Read returns what the client sent; while the node hangs it waits.
func (c *gateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.pass()
	}
	return n, err
}

// Write sends what the node answers; while the node hangs it waits, under Delay it
// is late.
func (c *gateConn) Write(p []byte) (int, error) {
	c.pass()
	if f, changed := c.gate.now(); f == Delay {
		late := time.NewTimer(c.gate.delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-changed:
		case <-c.done:
		}
	}
	return c.Conn.Write(p)
}

// pass waits while the node hangs.
func (c *gateConn) pass() {
	for {
		f, changed := c.gate.now()
		if f != Hang && f != Freeze {
			return
		}
		select {
		case <-changed:
		case <-c.done:
			return
		}
	}
}

// Close implements net.Conn.
func (c *gateConn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.gate.mu.Lock()
		delete(c.gate.conns, c)
		c.gate.mu.Unlock()
	})
	return c.Conn.Close()
}

// Tests: instances_test.go.
