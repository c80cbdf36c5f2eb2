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

// listener accepts connections as long as there are places, with the TLS of the present
// configuration.
type listener struct {
	net.Listener
	pool *pool
	door atomic.Pointer[door]
}

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, pool: newPool()}
}

// Accept returns the next connection that is within the limits.
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

// turnAway answers 503 before a request was read. Over TLS that would cost a handshake,
// so the connection is closed without an answer. The write cannot block: the send buffer
// of a new connection is empty.
func turnAway(c net.Conn, encrypted bool) {
	if !encrypted {
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = c.Write([]byte(plainProblem(http.StatusServiceUnavailable, "too many connections: close some, or raise connections or per-address in the Corefile")))
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	_ = c.Close()
}

// plainProblem is a whole HTTP response, for a connection that net/http does not serve.
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

// conn is one accepted connection. Close gives its place back.
type conn struct {
	net.Conn
	pool   *pool
	addr   netip.Addr
	access *access // what was required when it was accepted
	sniff  bool    // TLS is expected, and nothing has arrived yet

	// Guarded by the pool:
	peer    *peer // nil: it has no place any more
	known   bool  // a request on it has shown what is required
	busy    bool  // it serves a request
	list    *list.List
	element *list.Element
}

// connOf finds the conn inside a connection of net/http; nil: there is none.
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

// connOfRequest finds the conn of a request; nil as in connOf.
func connOfRequest(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return connOf(c)
}

// Read answers a client that sends HTTP where TLS is expected: a TLS record begins with
// 22 (RFC 8446 section 5.1), a method of HTTP with a letter.
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

// sayHTTPS answers a request that was not read, and waits a moment for the client to
// close: to close while it still sends would reset the connection, and the answer could
// be lost.
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

// NetConn is the connection inside, for socket options.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite sends FIN. net/http calls it before it closes the connection of a client
// that still sends, so that the refusal arrives.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Tests: encrypted_test.go, limit_test.go, pool_test.go, tls_test.go.
