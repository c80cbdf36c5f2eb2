//go:build !linux

package nameserver

import "net"

// kernelDrops is not known on this system.
func kernelDrops([]*net.UDPConn) (drops uint64, known bool) { return 0, false }

// Tests: server_test.go.
