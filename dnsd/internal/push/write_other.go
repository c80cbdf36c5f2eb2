//go:build !unix

package push

import (
	"net"
	"syscall"
)

// rawConn returns nil: a writer sends everything.
func rawConn(net.Conn) syscall.RawConn { return nil }

func writeNow(syscall.RawConn, []byte) (int, error) { return 0, nil }

// Tests: session_test.go.
