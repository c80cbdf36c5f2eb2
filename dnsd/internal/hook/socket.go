package hook

import (
	"net"
	"net/http"
)

// socketOf is the connection of a request; nil: it is not known.
func socketOf(r *http.Request) net.Conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return c
}

// tcpOf is the TCP connection inside c.
func tcpOf(c net.Conn) (*net.TCPConn, bool) {
	for c != nil {
		if tcp, ok := c.(*net.TCPConn); ok {
			return tcp, true
		}
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = under.NetConn()
	}
	return nil, false
}

// Tests: socket_linux_test.go.
