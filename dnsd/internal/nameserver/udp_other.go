//go:build !linux

package nameserver

import (
	"context"
	"net"
)

// listenUDP opens one socket for an address: not every system spreads the queries over
// several.
func listenUDP(ctx context.Context, network, addr string, _ int) ([]*net.UDPConn, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return []*net.UDPConn{c.(*net.UDPConn)}, nil
}

func (s *Server) newLoop(c *net.UDPConn, count *counters) (loop, error) {
	return newPortableLoop(s, c, count)
}

// Tests: server_test.go.
