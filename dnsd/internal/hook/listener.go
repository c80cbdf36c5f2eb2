package hook

import (
	"container/list"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/register"
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
		c := &conn{Conn: raw, pool: l.pool, addr: connAddr(raw), access: d.access, sniff: d.config != nil}
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
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = c.Write([]byte(plainProblem(http.StatusServiceUnavailable, "too many connections: close some, or raise the limit")))
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	_ = c.Close()
}

// plainProblem is a whole answer, for where net/http gives none.
func plainProblem(status int, detail string) string {
	retry := ""
	if status == http.StatusServiceUnavailable {
		retry = "Retry-After: 1\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sConnection: close\r\n\r\n{\"title\":%q,\"status\":%d,\"detail\":%q}\n",
		status, title(status), register.ProblemType, retry, title(status), status, detail)
}

func connAddr(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return limit.Client(tcp.AddrPort().Addr())
	}
	return netip.Addr{}
}

// conn is one accepted connection. It gives its place back when it is closed.
type conn struct {
	net.Conn
	pool   *pool
	addr   netip.Addr
	access *access // what was asked for when it was accepted
	sniff  bool    // nothing has come yet, and TLS should

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

// Read gives what came. Who speaks HTTP where TLS is spoken is told so: a TLS record
// begins with 22 (RFC 8446 section 5.1), a method of HTTP with a letter.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.sniff && n > 0 {
		c.sniff = false
		if 'A' <= p[0] && p[0] <= 'Z' {
			c.sayHTTPS()
			return 0, io.EOF
		}
	}
	return n, err
}

// sayHTTPS answers a request that was not read, and waits a moment for its sender to
// hang up: to close on what is still coming would reset the answer away.
func (c *conn) sayHTTPS() {
	_ = c.SetDeadline(time.Now().Add(farewell))
	_, _ = c.Write([]byte(plainProblem(http.StatusBadRequest, "this hook speaks TLS: write https:// in place of http://")))
	if c.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, 64<<10))
	}
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

// Tests: encrypted_test.go, limit_test.go, pool_test.go, tls_test.go.
