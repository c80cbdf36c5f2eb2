package dnsd

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// checkAddr says whether addr is host:port with an IP address and a port number, such as like.
func checkAddr(addr, like string) error {
	if _, err := netip.ParseAddrPort(addr); err == nil {
		return nil
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && (host == "" || host == "localhost") {
		if _, err := net.LookupPort("tcp", port); err == nil {
			return nil
		}
	}
	_, port, _ := net.SplitHostPort(like)
	return fmt.Errorf("bad address %q; expected IP:port such as %s or [::1]:%s", addr, like, port)
}

// canonicalAddr spells one address in one way: ::ffff:127.0.0.1 is 127.0.0.1.
func canonicalAddr(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr // the host is empty, or localhost
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
}

// portIsZero says whether the system chooses the port.
func portIsZero(addr string) bool {
	_, port, _ := net.SplitHostPort(addr)
	return port == "0"
}

// tlsPrefix marks an address of DNS over TLS.
const tlsPrefix = "tls://"

// defaultTLSPort is that of RFC 7858 section 3.1.
const defaultTLSPort = 853

// listeners are the addresses of a block's DNS: those of Bind, then those of TLS.
func (z Zone) listeners() []string {
	addrs := slices.Clone(z.Bind)
	if z.DNS.TLS.Cert == "" {
		return addrs
	}
	for _, a := range z.Bind {
		host, _, _ := net.SplitHostPort(a) // normal has checked it
		addrs = append(addrs, tlsPrefix+net.JoinHostPort(host, strconv.Itoa(max(z.DNS.TLSPort, 0))))
	}
	return addrs
}

// Tests: sockets_test.go.
