package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// errNetwork says that a firewall refused, and not the host.
var errNetwork = errors.New("refused by the network, not by the host")

// dial is the usual probe, a TCP connection. Its error is syscall.ECONNREFUSED if the host
// itself resets the connection; for a name, if all its addresses do.
func dial(ctx context.Context, hostport string) error {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return err
	}
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, addr)
	} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return err
	}
	return dialAll(ctx, addrs, uint16(number), dialAddr)
}

// dialAll connects to all addresses at once. If one accepts, the instance lives. Only if
// all refuse, it is dead.
func dialAll(ctx context.Context, addrs []netip.Addr, port uint16, ask func(context.Context, netip.AddrPort) error) error {
	const most = 16 // addresses of a name: with more, it is no name of a single instance
	if len(addrs) == 0 || len(addrs) > most {
		return fmt.Errorf("probe: %d addresses prove nothing", len(addrs))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(addrs))
	for _, a := range addrs {
		go func() { answers <- ask(ctx, netip.AddrPortFrom(a.Unmap(), port)) }()
	}
	var alive bool
	var refused, doubt error
	for range addrs {
		switch err := <-answers; {
		case err == nil:
			alive = true
			cancel() // the other answers do not matter
		case errors.Is(err, syscall.ECONNREFUSED):
			refused = err
		default:
			doubt = err
		}
	}
	switch {
	case alive:
		return nil
	case doubt != nil:
		return doubt
	}
	return refused
}
