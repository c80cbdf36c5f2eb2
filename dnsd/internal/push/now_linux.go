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

// readable tells whether a read would not wait. It needs less stack than syscall.Recvfrom: an
// idle session waits in the function that calls it.
func readable(fd uintptr) bool {
	var one [1]byte
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one)), uintptr(len(one)),
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			return errno != syscall.EAGAIN
		}
	}
}

// Tests: wire_test.go, slow_test.go.
