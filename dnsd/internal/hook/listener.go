package hook

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// listener counts connections, in all and by address, and puts TLS around them
// as the configuration of the moment wants.
type listener struct {
	net.Listener
	tls         atomic.Pointer[tls.Config]
	most        atomic.Int64 // negative: no bound
	mostPerAddr atomic.Int64

	mu      sync.Mutex // guards all below
	open    int
	perAddr map[netip.Addr]int
	refused uint64
}

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, perAddr: make(map[netip.Addr]int)}
}

// Accept gives the next connection that is within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := connAddr(raw)
		config := l.tls.Load()
		if !l.enter(addr) {
			turnAway(raw, config != nil)
			continue
		}
		c := &conn{Conn: raw, owner: l, addr: addr}
		if config != nil {
			return tls.Server(c, config), nil
		}
		return c, nil
	}
}

func (l *listener) enter(addr netip.Addr) bool {
	most, perAddr := l.most.Load(), l.mostPerAddr.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if most >= 0 && int64(l.open) >= most || perAddr >= 0 && int64(l.perAddr[addr]) >= perAddr {
		l.refused++
		return false
	}
	l.open++
	l.perAddr[addr]++
	return true
}

func (l *listener) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.perAddr[addr]--; l.perAddr[addr] <= 0 {
		delete(l.perAddr, addr)
	}
}

// counts gives the open connections and how many were refused.
func (l *listener) counts() (open, refused float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.open), float64(l.refused)
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

// conn gives its place back when it is closed.
type conn struct {
	net.Conn
	owner *listener
	addr  netip.Addr
	once  sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() { c.owner.leave(c.addr) })
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
