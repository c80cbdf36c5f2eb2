//go:build amd64 || arm64

package push

import (
	"syscall"
	"unsafe"
)

// send gives the system octets to send, and never waits. A change goes to thousands of sockets
// in a row, and 9 of 10 parts of its time are in here. So Go's scheduler is not told of each
// call: it would take the processor away, and give it back, because the calls together take
// long. A send is also shorter than a write, which first looks for what files need.
func send(fd uintptr, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Tests: session_test.go, slow_test.go.
