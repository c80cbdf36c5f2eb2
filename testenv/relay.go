package testenv

import (
	"context"
	"net"
	"sync"
)

// relayed is the near end of a connection that goes through a link. It has deadlines of
// its own, so that a call on it ends in time while the link is stuck.
type relayed struct {
	net.Conn          // one end of a pipe
	far      net.Conn // the connection itself
}

// LocalAddr is that of the connection.
func (c relayed) LocalAddr() net.Addr { return c.far.LocalAddr() }

// RemoteAddr is that of the connection.
func (c relayed) RemoteAddr() net.Addr { return c.far.RemoteAddr() }

// relay carries a connection until one end closes it, or the link is cut. It returns nil
// if the link is cut.
func (l *link) relay(far net.Conn) net.Conn {
	near, inner := net.Pipe()
	r := &relay{link: l, inner: inner, far: far}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if !l.keep(r) {
		near.Close()
		r.reset()
		return nil
	}
	go r.carry(inner, far, true)
	go r.carry(far, inner, false)
	return relayed{near, far}
}

// relay is a connection that goes through a link.
type relay struct {
	link       *link
	inner, far net.Conn
	ctx        context.Context // ends with it
	cancel     context.CancelFunc
	once       sync.Once
}

// carry copies in one direction: that of the answers, or the other. While the link is stuck
// nothing arrives, not even that the other end has closed.
func (r *relay) carry(to, from net.Conn, answers bool) {
	defer r.end()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !r.link.pass(r.ctx, answers) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// end closes the connection at both ends.
func (r *relay) end() {
	r.once.Do(func() {
		r.cancel()
		r.link.forget(r)
		r.inner.Close()
		r.far.Close()
	})
}

// reset ends the connection as a firewall does that rejects.
func (r *relay) reset() {
	if tcp, ok := r.far.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	r.end()
}

// datagrams are lost while the link is not whole.
type datagrams struct {
	net.Conn
	link *link
}

func (d *datagrams) Write(p []byte) (int, error) {
	if b, _ := d.link.now(); b != Whole && b != Deaf {
		return len(p), nil
	}
	return d.Conn.Write(p)
}

func (d *datagrams) Read(p []byte) (int, error) {
	for {
		n, err := d.Conn.Read(p)
		if b, _ := d.link.now(); err != nil || b == Whole {
			return n, err
		}
	}
}

func (d *datagrams) reset() { d.Conn.Close() }

func (d *datagrams) Close() error {
	d.link.forget(d)
	return d.Conn.Close()
}

// Tests: link_test.go.
