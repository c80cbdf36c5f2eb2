package conn

import (
	"net"
	"time"
)

// userTimeout is how long written bytes may stay unacknowledged before the kernel
// gives a connection up (TCP_USER_TIMEOUT, RFC 5482), instead of a quarter of an
// hour. It is longer than several pings take: it is for a dead path, and must not
// be what ends a connection that lost a packet or two.
const userTimeout = 20 * time.Second

// tcpOf is the TCP connection under nc, nil if there is none.
func tcpOf(nc net.Conn) *net.TCPConn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	t, _ := nc.(*net.TCPConn)
	return t
}

// Tests: sockopt_linux_test.go.
