//go:build !linux

package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// dialAddr connects to one address. On this system a reset by the host cannot be told
// from an ICMP error of a firewall, so a refusal counts only if the address is of this
// host.
func dialAddr(ctx context.Context, to netip.AddrPort) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to.String())
	switch {
	case err == nil:
		return c.Close()
	case errors.Is(err, syscall.ECONNREFUSED) && !to.Addr().IsLoopback():
		return fmt.Errorf("probe %s: %w (%v)", to, errNetwork, err)
	}
	return err
}

// Tests: dial_test.go.
