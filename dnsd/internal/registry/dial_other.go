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

// dialAddr asks one address whether it takes connections. Here nobody can tell a
// reset by the host from an ICMP error of a firewall, so that only this host itself
// is believed when it refuses.
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
