package conn

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTheKernelGivesUpADeadPath(t *testing.T) {
	c := dialTest(t, stockServer(t))
	raw, err := c.nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if got := time.Duration(ms) * time.Millisecond; err != nil || got != userTimeout {
			t.Errorf("TCP_USER_TIMEOUT is %v, %v, want %v", got, err, userTimeout)
		}
	})
}
