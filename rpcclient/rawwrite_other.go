//go:build !unix

package rpcclient

import (
	"errors"
	"net"
	"syscall"
)

// rawConn is nil: the writer goroutine writes everything.
func rawConn(net.Conn) syscall.RawConn { return nil }

func writeNow(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
