//go:build !linux

package conn

import (
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has the option.
func setUserTimeout(*net.TCPConn, time.Duration) {}

// Tests: sockopt_linux_test.go.
