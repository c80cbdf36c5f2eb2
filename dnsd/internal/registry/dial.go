package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// errNetwork: it was not the host that refused.
var errNetwork = errors.New("refused by the network, not by the host")

// dial is the default probe: it is refused, syscall.ECONNREFUSED, when the host
// itself resets the connection, and for a name when every address of it does.
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

// dialAll asks all addresses at once: one that takes connections is alive, and all
// have to refuse for a death.
func dialAll(ctx context.Context, addrs []netip.Addr, port uint16, ask func(context.Context, netip.AddrPort) error) error {
	const most = 16 // addresses of a name: more prove nothing
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
			cancel() // nobody else needs to answer
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
