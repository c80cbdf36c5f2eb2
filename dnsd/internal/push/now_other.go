//go:build !unix

package push

import (
	"net"
	"syscall"
)

// rawConn returns nil: a writer sends everything, and a read waits.
func rawConn(net.Conn) syscall.RawConn { return nil }

func writeNow(syscall.RawConn, []byte) (int, error) { return 0, nil }

func readNow(syscall.RawConn, []byte) (int, error) { return 0, nil }

func readable(uintptr) bool { return true }

// Tests: wire_test.go.
