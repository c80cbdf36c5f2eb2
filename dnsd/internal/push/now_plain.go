//go:build unix && !(linux && (amd64 || arm64))

package push

import "syscall"

// send gives the system octets to send. The sockets of package net do not wait.
func send(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }

// readable tells whether a read would not wait.
func readable(fd uintptr) bool {
	for {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

// Tests: wire_test.go, slow_test.go.
