//go:build linux

package dnsload

import (
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch      = 32
	packetSize = 2048
)

// mmsghdr is struct mmsghdr of recvmmsg(2); the compiler pads it as C does.
type mmsghdr struct {
	Hdr unix.Msghdr
	Len uint32
}

// batcher moves packets of one UDP socket in batches.
type batcher struct {
	fd    int
	recv  [batch]mmsghdr
	send  [batch]mmsghdr
	riov  [batch]unix.Iovec
	siov  [batch]unix.Iovec
	names [batch]unix.RawSockaddrInet4
	in    [batch][packetSize]byte
}

// newBatcher makes one; named says that it keeps where packets come from.
func newBatcher(fd int, named bool) *batcher {
	b := &batcher{fd: fd}
	for i := range b.recv {
		b.riov[i].Base = &b.in[i][0]
		b.riov[i].SetLen(packetSize)
		b.recv[i].Hdr.Iov = &b.riov[i]
		b.recv[i].Hdr.SetIovlen(1)
		if named {
			b.recv[i].Hdr.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		}
		b.send[i].Hdr.Iov = &b.siov[i]
		b.send[i].Hdr.SetIovlen(1)
	}
	return b
}

// receive takes up to a batch; 0 means that there is nothing, or that a
// blocking socket's timeout is over.
func (b *batcher) receive(flags int) (int, error) {
	for i := range b.recv {
		if b.recv[i].Hdr.Name != nil {
			b.recv[i].Hdr.Namelen = unix.SizeofSockaddrInet4
		}
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.recv[0])), batch, uintptr(flags), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, nil
	default:
		return 0, fmt.Errorf("recvmmsg: %w", errno)
	}
}

// set makes packet i of the next transmit.
func (b *batcher) set(i int, p []byte) {
	b.siov[i].Base = &p[0]
	b.siov[i].SetLen(len(p))
}

func (b *batcher) transmit(n int) error {
	for sent := 0; sent < n; {
		k, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.send[sent])), uintptr(n-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(k)
		case syscall.EAGAIN, syscall.EINTR:
		default:
			return fmt.Errorf("sendmmsg: %w", errno)
		}
	}
	return nil
}

// socket opens a UDP socket with large buffers.
func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	for _, opt := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 4<<20)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// Tests: load_test.go.
