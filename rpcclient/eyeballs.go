package rpcclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// attemptDelay is how long one address may be silent before the next one is dialled as
// well (RFC 8305 section 5: "250 milliseconds").
const attemptDelay = 250 * time.Millisecond

// dialTCP connects to an endpoint as RFC 8305 (Happy Eyeballs) says: one address after the
// other, with the families in turn. It dials the next address when one fails or is silent
// for attemptDelay. The first connection counts.
func dialTCP(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	addrs := dialOrder(ep)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type dialled struct {
		at  int
		nc  net.Conn
		err error
	}
	results := make(chan dialled, len(addrs))
	begun, out := 0, 0
	begin := func() {
		i := begun
		begun++
		out++
		go func() {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addrs[i])
			results <- dialled{i, nc, err}
		}()
	}
	errs := make([]error, len(addrs)) // in the order of addrs
	next := time.NewTimer(attemptDelay)
	defer next.Stop()
	begin()
	for out > 0 {
		select {
		case <-next.C:
		case l := <-results:
			out--
			if l.err == nil {
				cancel()
				for ; out > 0; out-- { // the other dials end with the context
					if late := <-results; late.nc != nil {
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

// dialOrder returns the addresses of an endpoint, the best one first, with the families in
// turn (RFC 8305 section 4).
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

// family returns 4 or 6, or 0 for a name.
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
