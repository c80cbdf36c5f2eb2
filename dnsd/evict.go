package dnsd

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
)

// An address and the wildcard of its port cannot be bound at the same time. So a reload
// from one to the other closes the old socket before it opens the new one, and for a
// moment no socket listens. If the plan fails, the old socket is opened again. If
// another process has taken the address by then, the server ends, as it does at a start
// when an address is taken: a server that goes on without listening would look sound.

// tookRoom says whether err means that another socket has the port.
func tookRoom(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// samePort says whether two addresses of listeners have the same port. Port 0 is never
// the same: the system chooses it.
func samePort(a, b string) bool {
	_, pa, _ := net.SplitHostPort(strings.TrimPrefix(a, tlsPrefix))
	_, pb, _ := net.SplitHostPort(strings.TrimPrefix(b, tlsPrefix))
	return pa == pb && pa != "0"
}

// evictDNS closes the listeners with addr's port that the plan does not keep, and
// says whether there were any.
func (s *Server) evictDNS(p *plan, addr string) (any bool) {
	for i, l := range s.dns {
		if !samePort(l.addr, addr) || slices.Contains(addresses(p.cfg), l.addr) || l.evicted {
			continue
		}
		any = true
		l.close()
		l.evicted = true
		p.restore = append(p.restore, func() error {
			again := *l
			server, err := nameserver.Listen(l.cfg)
			if err != nil {
				return s.lost(at("bind", l.addr, err))
			}
			again.server, again.task, again.evicted = server, nil, false
			s.dns[i] = &again
			for _, b := range s.blocks {
				b.servedBy(s.dns)
			}
			if s.running {
				again.start(s.failed)
			}
			return nil
		})
	}
	return any
}

// evictHooks is evictDNS for hooks.
func (s *Server) evictHooks(p *plan, addr string) (any bool) {
	keeps := func(b *block) bool {
		return slices.ContainsFunc(p.cfg.Zones, func(z Zone) bool { return z.Hook.Addr == b.cfg.Hook.Addr })
	}
	for _, b := range s.blocks {
		if !samePort(b.cfg.Hook.Addr, addr) || keeps(b) || b.evicted {
			continue
		}
		any = true
		b.closeHook()
		b.evicted = true
		p.restore = append(p.restore, func() error {
			h, err := hook.Listen(b.hookConfig(s.log.With("zone", b.cfg.Origins[0])))
			if err != nil {
				return s.lost(at("hook", b.cfg.Hook.Addr, err))
			}
			b.hook, b.evicted = &shared[*hook.Server]{part: h}, false
			if s.running {
				b.start(s.failed)
			}
			return nil
		})
	}
	return any
}

// lost ends the server because an address could not be opened again.
func (s *Server) lost(err error) error {
	err = fmt.Errorf("dnsd: reload failed, and then the old address could not be opened again: %w", err)
	select {
	case s.failed <- err:
	default: // the server ends already
	}
	return err
}

// Tests: reload_test.go.
