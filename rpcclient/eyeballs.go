package rpcclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// attemptDelay is how long one address may be silent before the next is tried beside
// it (RFC 8305 section 5: "250 milliseconds").
const attemptDelay = 250 * time.Millisecond

// dialTCP connects to an endpoint as RFC 8305 (Happy Eyeballs) does: one address after
// the other, families in turn, the next one when one fails or is silent for
// attemptDelay. The first connection counts.
func dialTCP(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	addrs := dialOrder(ep)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type landing struct {
		at  int
		nc  net.Conn
		err error
	}
	landings := make(chan landing, len(addrs))
	begun, out := 0, 0
	begin := func() {
		i := begun
		begun++
		out++
		go func() {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addrs[i])
			landings <- landing{i, nc, err}
		}()
	}
	errs := make([]error, len(addrs)) // in order
	next := time.NewTimer(attemptDelay)
	defer next.Stop()
	begin()
	for out > 0 {
		select {
		case <-next.C:
		case l := <-landings:
			out--
			if l.err == nil {
				cancel()
				for ; out > 0; out-- { // they end with the context
					if late := <-landings; late.nc != nil {
						late.nc.Close()
					}
				}
				return l.nc, nil
			}
			errs[l.at] = l.err
		}
		if begun < len(addrs) && ctx.Err() == nil {
			begin()
			next.Reset(attemptDelay)
		}
	}
	return nil, errors.Join(errs...)
}

// dialOrder is the addresses of an endpoint, best first, families in turn (RFC 8305
// section 4).
func dialOrder(ep resolver.Endpoint) []string {
	addrs := append([]string{ep.Addr}, ep.Alt...)
	var first, other []string
	for _, addr := range addrs {
		if family(addr) == family(addrs[0]) {
			first = append(first, addr)
		} else {
			other = append(other, addr)
		}
	}
	out := addrs[:0]
	for len(first) > 0 || len(other) > 0 {
		for _, from := range []*[]string{&first, &other} {
			if len(*from) > 0 {
				out = append(out, (*from)[0])
				*from = (*from)[1:]
			}
		}
	}
	return out
}

// family is 4 or 6, or 0 for a name.
func family(addr string) int {
	ap, err := netip.ParseAddrPort(addr)
	switch {
	case err != nil:
		return 0
	case ap.Addr().Unmap().Is4():
		return 4
	}
	return 6
}
