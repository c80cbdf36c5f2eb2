//go:build !unix

package conn

import (
	"errors"
	"net"
)

// rawWriter is for systems where a socket can be written to without waiting.
type rawWriter struct{}

// newRawWriter is nil: the writer goroutine writes everything.
func newRawWriter(net.Conn) *rawWriter { return nil }

func (*rawWriter) now([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Tests: torture_test.go.
