// Package freeaddr finds addresses of loopback for tests, and for testenv, that are opened
// later, or opened again after a restart. A port that the system has chosen is not good for
// that: while no one listens there, the system may give it to a client or to another listener.
package freeaddr

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Systems do not use these ports for clients.
const (
	firstPort = 20_000
	ports     = 10_000
	// A process has blocks of ports for itself.
	blockSize = 50
	blocks    = ports / blockSize
)

// taken are the blocks of this process. They belong to the process, as ports do.
var taken struct {
	sync.Mutex
	tries int        // blocks that were tried
	next  int        // port of the present block; it is used up at first
	end   int        // the port after the block
	locks []*os.File // of the blocks, until the process ends
}

// nextPort is the port to try next. No other process of this package tries it, as long as
// there are blocks for all.
func nextPort() uint16 {
	t := &taken
	t.Lock()
	defer t.Unlock()
	for t.next == t.end {
		block := (os.Getpid() + t.tries) % blocks
		t.tries++
		// When all were tried, ports are taken that others may have, and Take looks.
		if lock, ok := lockBlock(block); ok || t.tries > blocks {
			if lock != nil {
				t.locks = append(t.locks, lock)
			}
			t.next = firstPort + block*blockSize
			t.end = t.next + blockSize
		}
	}
	t.next++
	return uint16(t.next - 1)
}

// lockBlock makes a block this process's own. False: it is another one's, or that cannot be
// known.
func lockBlock(block int) (*os.File, bool) {
	dir := filepath.Join(os.TempDir(), "rollcall-test-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, false
	}
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(block)), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, false
	}
	if !lockFile(f) {
		f.Close()
		return nil, false
	}
	return f, true
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
