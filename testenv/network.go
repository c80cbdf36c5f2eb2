package testenv

import (
	"context"
	"errors"
	"net"
	"sync"
)

var errCut = errors.New("testenv: the network is cut")

// A wire is the network between one client or node and dnsd. It can be cut.
type wire struct {
	mu    sync.Mutex // guards the fields below
	state cut
	conns map[*wireConn]struct{}
}

// cut says how a wire is cut.
type cut int

const (
	whole    cut = iota
	silent       // bytes are discarded, connections stay open
	severed      // connections break, new ones fail
	lossyUDP     // datagrams are discarded, TCP works
)

// set changes the state; severing closes what is open.
func (w *wire) set(state cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
	if state == severed {
		for c := range w.conns {
			c.Conn.Close()
		}
	}
}

func (w *wire) now() cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// dialer connects, as net.Dialer.DialContext does.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// over connects through the wire by way of dial.
func (w *wire) over(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if w.now() == severed {
			return nil, errCut
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return w.adopt(conn), nil
	}
}

// adopt puts an open connection onto the wire.
func (w *wire) adopt(conn net.Conn) net.Conn {
	c := &wireConn{Conn: conn, wire: w, udp: conn.LocalAddr().Network() == "udp"}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = map[*wireConn]struct{}{}
	}
	w.conns[c] = struct{}{}
	return c
}

type wireConn struct {
	net.Conn
	wire *wire
	udp  bool
}

// lost says whether bytes are discarded.
func (c *wireConn) lost() bool {
	s := c.wire.now()
	return s == silent || s == lossyUDP && c.udp
}

func (c *wireConn) Write(p []byte) (int, error) {
	if c.lost() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *wireConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.lost() {
			return n, err
		}
	}
}

func (c *wireConn) Close() error {
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}

// Tests: dnsd_test.go, names_test.go.
