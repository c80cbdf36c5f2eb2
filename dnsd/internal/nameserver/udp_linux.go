package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// udpBatch is how many packets one system call moves. More than 16 gains little,
	// and the garbage collector may have to wait for a whole batch.
	udpBatch = 32
	// udpQueue is the receive buffer asked for: some 8,000 queries, a few
	// milliseconds of the fastest flood. The kernel may give less.
	udpQueue = 4 << 20
	// controlLen holds one packet information message of either family.
	controlLen = 64
	// latencyEvery: the time of one batch in so many is measured.
	latencyEvery = 64
)

// listenUDP opens n sockets for one address. They share it by SO_REUSEPORT, and
// the kernel spreads the clients over them.
func listenUDP(ctx context.Context, network, addr string, n int) ([]*net.UDPConn, error) {
	// With SO_REUSEPORT another server of the same user could share the port, and
	// each would get some of the queries. So a socket without it proves first that
	// the port is free.
	var plain net.ListenConfig
	probe, err := plain.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, failed)
	}}
	var conns []*net.UDPConn
	for range n {
		c, err := shared.ListenPacket(ctx, network, addr)
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		conns = append(conns, c.(*net.UDPConn))
	}
	return conns, nil
}

func (s *Server) newLoop(c *net.UDPConn, count *counters) (loop, error) {
	if s.portable {
		return newPortableLoop(s, c, count)
	}
	return newUDPLoop(s, c, count)
}

// mmsghdr is struct mmsghdr of recvmmsg(2); the compiler pads it as C does.
type mmsghdr struct {
	Hdr unix.Msghdr
	Len uint32
}

// udpLoop serves one UDP socket by recvmmsg and sendmmsg on fixed arrays.
//
// The system calls are raw: they never block (MSG_DONTWAIT), so the scheduler need
// not know of them, which saves a fifth of the cost of a query. The runtime's poller
// waits for packets.
type udpLoop struct {
	srv  *Server
	conn *net.UDPConn
	raw  syscall.RawConn
	r    responder
	wild bool // bound to all addresses: a reply is sent from the one that was asked

	recv, send [udpBatch]mmsghdr
	recvIov    [udpBatch]unix.Iovec
	sendIov    [udpBatch]unix.Iovec
	names      [udpBatch]unix.RawSockaddrInet6 // either family fits
	control    [udpBatch][controlLen]byte
	in         [udpBatch][udpBuffer]byte
	out        [udpBatch][]byte

	got, at, ready int // packets received, being answered, answered
	batches        uint
	began          time.Time // when the batch came; for latency
	errno          syscall.Errno
}

func newUDPLoop(s *Server, c *net.UDPConn, count *counters) (*udpLoop, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", c.LocalAddr(), err)
	}
	l := &udpLoop{srv: s, conn: c, raw: raw}
	l.r.count = count
	l.wild = c.LocalAddr().(*net.UDPAddr).IP.IsUnspecified()
	var failed error
	err = raw.Control(func(fd uintptr) { failed = l.setOptions(int(fd)) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("listen %s: %w", c.LocalAddr(), err)
	}
	for i := range l.recv {
		l.recvIov[i].Base = &l.in[i][0]
		l.recvIov[i].SetLen(udpBuffer)
		h := &l.recv[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&l.names[i]))
		h.Iov = &l.recvIov[i]
		h.SetIovlen(1)
		l.out[i] = make([]byte, 0, defaultMaxUDP+16)
		l.send[i].Hdr.Iov = &l.sendIov[i]
		l.send[i].Hdr.SetIovlen(1)
	}
	l.reset(udpBatch)
	return l, nil
}

func (l *udpLoop) setOptions(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	// Buffers as large as allowed: FORCE works for root only, and both may fail
	// without harm.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpQueue) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, udpQueue)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, udpQueue) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, udpQueue)
	}
	// A forged ICMP "fragmentation needed" must not make answers smaller.
	if domain == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	}
	if !l.wild {
		return nil
	}
	if domain == unix.AF_INET6 {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
}

func (l *udpLoop) run(ctx context.Context) error {
	cycle := l.cycle // once: a method value is an allocation
	for {
		// One batch for each call: Close waits for the function to return.
		if err := l.raw.Read(cycle); err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("nameserver: receive on %s: %w", l.conn.LocalAddr(), err)
		}
		if l.got == udpBatch {
			// More is waiting. Under a flood this loop would keep its core for as
			// long as the scheduler allows, while the HTTP hook and TCP wait.
			runtime.Gosched()
		}
		if l.errno == syscall.EBADF || l.errno == syscall.ENOTSOCK {
			return fmt.Errorf("nameserver: receive on %s: %w", l.conn.LocalAddr(), l.errno)
		}
	}
}

// cycle receives, answers and sends one batch. It returns false if there is nothing to
// receive, and the poller then waits.
func (l *udpLoop) cycle(fd uintptr) bool {
	if !l.receive(fd) {
		return false
	}
	for l.at < l.got {
		l.answer()
	}
	l.transmit(fd)
	if l.batches%latencyEvery == 0 && l.got > 0 {
		l.r.count.took(time.Since(l.began))
	}
	return true
}

// receive takes one batch, if there is one.
func (l *udpLoop) receive(fd uintptr) bool {
	l.reset(l.got)
	l.got, l.at, l.ready = 0, 0, 0
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&l.recv[0])), udpBatch, unix.MSG_DONTWAIT, 0, 0)
	if l.errno = errno; errno != 0 {
		// Anything but EAGAIN is an ICMP error for a packet sent before.
		return errno != syscall.EAGAIN
	}
	l.got = int(n)
	l.batches++
	l.began = time.Now()
	l.srv.prepare(&l.r, l.began)
	return true
}

// reset makes the first n headers ready to receive: the kernel has overwritten them.
func (l *udpLoop) reset(n int) {
	for i := range n {
		h := &l.recv[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.Flags = 0
		if l.wild {
			h.Control = &l.control[i][0]
			h.SetControllen(controlLen)
		}
	}
}

// answer answers the packets of the batch. A panic costs one answer: the caller calls
// again for the packets after it.
func (l *udpLoop) answer() {
	defer func() {
		if p := recover(); p != nil {
			i := l.at - 1
			l.queue(i, l.srv.panicked(&l.r, l.out[l.ready][:0], l.in[i][:l.recv[i].Len], p))
		}
	}()
	for l.at < l.got {
		i := l.at
		l.at++
		h := &l.recv[i].Hdr
		from, port := sockaddr(&l.names[i])
		if h.Flags&unix.MSG_TRUNC != 0 || port == 0 {
			l.r.count.dropped.Add(1)
			continue
		}
		l.queue(i, l.r.respond(l.out[l.ready][:0], l.in[i][:l.recv[i].Len], from, overUDP))
	}
}

// queue appends the answer to packet i to those that are ready.
func (l *udpLoop) queue(i int, reply []byte) {
	l.out[l.ready] = reply // which may have grown
	if len(reply) == 0 {
		return
	}
	from, to := &l.recv[i].Hdr, &l.send[l.ready].Hdr
	to.Name, to.Namelen = from.Name, from.Namelen
	l.sendIov[l.ready].Base = &reply[0]
	l.sendIov[l.ready].SetLen(len(reply))
	if l.wild && from.Controllen > 0 {
		clearInterface(l.control[i][:from.Controllen])
		to.Control, to.Controllen = from.Control, from.Controllen
	} else {
		to.Control, to.Controllen = nil, 0
	}
	l.ready++
}

// transmit sends what is ready. An answer that the system does not take is lost, which
// UDP allows: memory does not grow, and the client asks again.
func (l *udpLoop) transmit(fd uintptr) {
	for sent := 0; sent < l.ready; {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&l.send[sent])),
			uintptr(l.ready-sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			l.r.count.sendErrors.Add(uint64(l.ready - sent))
			return
		default: // the first answer cannot be sent: no route, or forbidden
			l.r.count.sendErrors.Add(1)
			sent++
		}
	}
}

// sockaddr reads the address of either family.
func sockaddr(sa *unix.RawSockaddrInet6) (netip.Addr, uint16) {
	if sa.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrFrom4(v4.Addr), v4.Port
	}
	return netip.AddrFrom16(sa.Addr).Unmap(), sa.Port
}

// clearInterface makes the packet information of a query fit for its answer: it keeps
// the address to send from, but the routing table chooses the interface, which may be
// another than the query came in by. Link-local addresses need theirs.
func clearInterface(control []byte) {
	if len(control) < unix.SizeofCmsghdr {
		return
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	data := control[unix.SizeofCmsghdr:]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Ifindex = 0
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
		if !netip.AddrFrom16(info.Addr).IsLinkLocalUnicast() {
			info.Ifindex = 0
		}
	}
}

// Tests: bench_test.go, flood_test.go, server_test.go.
