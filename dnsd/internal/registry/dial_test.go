package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// A name is dead only if each of its addresses refuses.
func TestNameIsDeadWhenAllItsAddressesRefuse(t *testing.T) {
	refused := fmt.Errorf("connect: %w", syscall.ECONNREFUSED)
	silent := context.DeadlineExceeded
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	for _, c := range []struct {
		answers []error
		alive   bool
		dead    bool
	}{
		{[]error{refused}, false, true},
		{[]error{refused, refused, refused}, false, true},
		{[]error{nil}, true, false},
		{[]error{refused, nil}, true, false},
		{[]error{nil, refused}, true, false},
		{[]error{silent, refused}, false, false},
		{[]error{refused, silent}, false, false},
		{[]error{refused, errNetwork, refused}, false, false},
		{nil, false, false},
		{make([]error, 17), false, false}, // more addresses than dialAll tries
	} {
		var addrs []netip.Addr
		for i := range c.answers {
			addrs = append(addrs, addr(i))
		}
		err := dialAll(t.Context(), addrs, 80, func(_ context.Context, to netip.AddrPort) error {
			return c.answers[to.Addr().As4()[3]]
		})
		if (err == nil) != c.alive || errors.Is(err, syscall.ECONNREFUSED) != c.dead {
			t.Errorf("%v: %v, want alive %v, dead %v", c.answers, err, c.alive, c.dead)
		}
	}
}

func TestProbeOfRealPorts(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Logf("%s: %v", host, err)
			continue
		}
		if err := dial(t.Context(), l.Addr().String()); err != nil {
			t.Errorf("%s listens: %v", host, err)
		}
		l.Close()
		if err := dial(t.Context(), l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s does not listen any more: %v, want ECONNREFUSED", host, err)
		}
	}
}
