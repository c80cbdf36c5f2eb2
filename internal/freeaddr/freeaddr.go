// Package freeaddr finds addresses of loopback for tests, and for testenv, that are opened
// later, or opened again after a restart. A port that the system has chosen is not good for
// that: while no one listens there, the system may give it to a client or to another listener.
package freeaddr

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
)

// Systems do not use these ports for clients.
const (
	firstPort = 20_000
	ports     = 10_000
)

// tried counts the ports that this process has tried. It belongs to the process, as ports do.
var tried atomic.Uint32

// nextPort is the port to try next. Processes that run at the same time begin far from each
// other: by the golden ratio, near process ids lead to distant ports.
func nextPort() uint16 {
	return firstPort + uint16((6181*uint64(os.Getpid())+uint64(tried.Add(1)))%ports)
}

// Take returns n addresses of loopback that are free for UDP and TCP. The
// system does not use their ports for clients, so a process can listen there later,
// and again after it was killed. No address is returned again in the same process, unless
// it has asked for thousands. Like httptest.NewServer, Take panics when there is none.
func Take(n int) []netip.AddrPort {
	var addrs []netip.AddrPort
	for range ports {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), nextPort())
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			continue
		}
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		tcp.Close()
		if err != nil {
			continue
		}
		udp.Close()
		if addrs = append(addrs, addr); len(addrs) == n {
			return addrs
		}
	}
	panic("freeaddr: no free port between 20000 and 30000")
}
