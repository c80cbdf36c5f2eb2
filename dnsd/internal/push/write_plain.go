//go:build unix && !(linux && (amd64 || arm64))

package push

import "syscall"

// send gives the system octets to send. The sockets of package net do not wait.
func send(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }

// Tests: session_test.go, slow_test.go.
