package registry

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialAddr connects to one address. Only a reset by the host proves that it does not
// accept connections. A firewall's REJECT arrives as an ICMP error, which connect also
// reports as "refused". The socket therefore queues ICMP errors (IP_RECVERR, see ip(7)),
// and a refusal with an ICMP error in the queue does not count.
func dialAddr(ctx context.Context, to netip.AddrPort) error {
	err := tryConnect(ctx, to)
	if err != nil {
		return fmt.Errorf("probe %s: %w", to, err)
	}
	return nil
}

func tryConnect(ctx context.Context, to netip.AddrPort) error {
	family, level, option := unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	var addr unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if to.Addr().Is4() {
		family, level, option = unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
		addr = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), "probe") // waits without a thread
	defer socket.Close()
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	switch err := unix.Connect(fd, addr); err {
	case nil:
		return nil
	case unix.EINPROGRESS:
	default:
		return verdict(fd, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := socket.SetDeadline(deadline); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })()
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	err = raw.Write(func(uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(ready, 0); n == 0 || err == unix.EINTR {
			return false // not yet: wait
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = syscall.Errno(code)
		}
		outcome = err
		return true
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case outcome != nil:
		return verdict(fd, outcome)
	}
	return nil
}

// verdict returns err, or errNetwork if the network and not the host caused it.
func verdict(fd int, err error) error {
	if origin, ok := blamed(fd); ok && origin != unix.SO_EE_ORIGIN_LOCAL {
		return fmt.Errorf("%w (%v)", errNetwork, err)
	}
	return os.NewSyscallError("connect", err)
}

// blamed reads the origin of the error from the error queue of the socket. It returns
// false if the queue is empty, as after a reset.
func blamed(fd int) (origin uint8, ok bool) {
	control := make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 64), control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return 0, false
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		// struct sock_extended_err: errno uint32, origin uint8, ...
		if (m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR) && len(m.Data) > 4 {
			return m.Data[4], true
		}
	}
	return 0, false
}
