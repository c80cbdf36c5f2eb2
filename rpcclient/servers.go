package rpcclient

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// checkServer tells whether a DNS server is a host or host:port. Whether there is
// such a host is known only when it is asked.
func checkServer(server string) error {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = strings.Trim(server, "[]"), "53" // as the resolver reads it
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q: want a number from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || strings.ContainsFunc(label, notInHost) {
			return fmt.Errorf("host %q: want a name or an IP address", host)
		}
	}
	// RFC 1123 2.1: the last label of a name is not a number, which is how an
	// address that lacks a byte, or a port alone, is told from one.
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return fmt.Errorf("host %q: neither a name nor an IP address", host)
	}
	return nil
}

func notInHost(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		return false
	}
	return true
}
