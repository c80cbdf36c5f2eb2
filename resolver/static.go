package resolver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"strconv"
	"time"
)

// Static returns a Source that yields the same endpoints for every name. The addresses are
// written as "host:port". Each has priority 0 and weight 1. An address that cannot be used
// is left out, and State.Err names it.
func Static(addrs ...string) Source {
	var eps []Endpoint
	var errs []error
	for _, addr := range addrs {
		ep, err := staticEndpoint(addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		eps = append(eps, ep)
	}
	return static{State{Endpoints: arrange(dedup(eps)), Trust: Confirmed, Confirmed: time.Now(), Err: errors.Join(errs...)}}
}

type static struct{ state State }

func (s static) Watch(ctx context.Context, _ string) iter.Seq[State] {
	return func(yield func(State) bool) {
		if ctx.Err() != nil || !yield(s.state) {
			return
		}
		<-ctx.Done()
	}
}

func staticEndpoint(addr string) (Endpoint, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return Endpoint{}, fmt.Errorf("resolver: static address %q: want host:port", addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Endpoint{}, fmt.Errorf("resolver: static address %q: want a port from 1 to 65535", addr)
	}
	if host == "" {
		return Endpoint{}, fmt.Errorf("resolver: static address %q: want a host before the port", addr)
	}
	return Endpoint{Addr: net.JoinHostPort(host, strconv.FormatUint(n, 10)), Target: host, Weight: 1}, nil
}

// dedup drops repeated addresses, so that their weights do not add up.
func dedup(eps []Endpoint) []Endpoint {
	seen := make(map[string]bool, len(eps))
	out := eps[:0]
	for _, ep := range eps {
		if !seen[ep.Addr] {
			seen[ep.Addr] = true
			out = append(out, ep)
		}
	}
	return out
}
