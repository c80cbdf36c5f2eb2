package hook

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// listener takes connections as far as there are places, and puts TLS around them
// as the configuration of the moment wants.
type listener struct {
	net.Listener
	pool *pool
	door atomic.Pointer[door]
}

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, pool: newPool()}
}

// Accept gives the next connection that is within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		d := l.door.Load()
		c := &conn{Conn: raw, pool: l.pool, addr: connAddr(raw), access: d.access}
		victim, ok := l.pool.enter(c)
		if victim != nil {
			_ = victim.Conn.Close()
		}
		if !ok {
			turnAway(raw, d.config != nil)
			continue
		}
		if d.config != nil {
			return tls.Server(c, d.config), nil
		}
		return c, nil
	}
}

// turnAway says 503 before any request was read; in TLS that would cost a
// handshake, so there the connection just ends. The write cannot block: the send
// buffer of a new connection is empty.
func turnAway(c net.Conn, encrypted bool) {
	if !encrypted {
		const body = `{"title":"Service Unavailable","status":503,"detail":"too many connections: close some, or raise the limit"}` + "\n"
		const head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = c.Write([]byte(head + body))
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	_ = c.Close()
}

func connAddr(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return callerAddr(tcp.AddrPort().Addr())
	}
	return netip.Addr{}
}

// conn is one accepted connection. It gives its place back when it is closed.
type conn struct {
	net.Conn
	pool   *pool
	addr   netip.Addr
	access *access // what was asked for when it was accepted

	// The pool's:
	peer    *peer // nil: it has no place any more
	known   bool  // somebody known uses it
	busy    bool  // it serves a request
	list    *list.List
	element *list.Element
}

// connOf finds the conn beneath what net/http knows; nil: it is not one of ours.
func connOf(c net.Conn) *conn {
	for c != nil {
		if ours, ok := c.(*conn); ok {
			return ours
		}
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = under.NetConn()
	}
	return nil
}

// connOfRequest finds the conn that a request came by; nil as in connOf.
func connOfRequest(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return connOf(c)
}

func (c *conn) Close() error {
	c.pool.leave(c)
	return c.Conn.Close()
}

// NetConn is the connection beneath, for socket options.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite sends what is left and FIN. net/http asks for it before it closes on
// a client that is still sending, so that the refusal arrives.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
