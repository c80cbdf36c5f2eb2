package resolver

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatIsNotAcknowledgedEndsAConnection: the kernel does not try for 15 minutes.
func TestWhatIsNotAcknowledgedEndsAConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	keepSocketAlive(conn)
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{unix.TCP_USER_TIMEOUT: 30000, unix.TCP_KEEPIDLE: 15, unix.TCP_KEEPINTVL: 5, unix.TCP_KEEPCNT: 3} {
		var got int
		if ctl := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) }); ctl != nil || err != nil || got != want {
			t.Errorf("option %d is %d, want %d: %v %v", option, got, want, ctl, err)
		}
	}
}
