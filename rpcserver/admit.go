package rpcserver

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	// maxRefusals is how many surplus connections are told so at once; others are
	// closed without a word.
	maxRefusals = 64
	// refusalQuiet is between two lines of the log about them.
	refusalQuiet = time.Second
)

// add counts a connection in; false: there are too many, or the server ended.
func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed || len(s.conns)-s.yielding >= s.cfg.MaxConns && !s.makeRoomLocked(c) {
		s.past.Refused++
		if now := time.Now(); !s.sealed && now.After(s.quietTo) {
			s.quietTo = now.Add(refusalQuiet)
			s.log(slog.LevelWarn, "connections refused: too many", "limit", s.cfg.MaxConns, "remote", c.remote, "refused so far", s.past.Refused)
		}
		return false
	}
	s.past.Accepted++
	s.conns[c] = struct{}{}
	s.froms[c.from]++
	s.running.Add(1)
	if s.draining {
		s.drainLocked(c)
	}
	return true
}

// removeLocked counts a connection out.
func (s *Server) removeLocked(c *conn) {
	delete(s.conns, c)
	if c.yields {
		s.yielding--
	} else {
		s.leaveFromLocked(c)
	}
}

func (s *Server) leaveFromLocked(c *conn) {
	if s.froms[c.from]--; s.froms[c.from] == 0 {
		delete(s.froms, c.from)
	}
}

// makeRoomLocked has an idle connection of the address that has the most of them give
// its place to c, if that is of an address with fewer: who holds many connections must
// not keep all others out. One that never asked anything goes first.
func (s *Server) makeRoomLocked(c *conn) bool {
	if s.yielding > s.cfg.MaxConns/8 {
		return false // those who were told so are slow to go
	}
	var most netip.Prefix
	for from, n := range s.froms {
		if n > s.froms[most] {
			most = from
		}
	}
	if s.froms[most] <= s.froms[c.from]+1 {
		return false
	}
	var idle *conn
	for o := range s.conns {
		if o.from != most || o.yields || o.inflight.Load() > 0 {
			continue
		}
		if idle == nil || o.requests.Load() == 0 {
			idle = o
			if o.requests.Load() == 0 {
				break
			}
		}
	}
	if idle == nil {
		return false
	}
	idle.yields = true
	s.yielding++
	s.leaveFromLocked(idle)
	idle.alone.Store(true)
	idle.stop() // what it has not read, it says, is not executed
	return true
}

// from is who has a connection, for limits: an address, or a network of IPv6, where one
// has as many addresses as one likes.
func from(nc net.Conn) netip.Prefix {
	tcp, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

// refuse tells a client to call elsewhere: nothing of its is executed here, and other
// connections of its stay as they are.
func (c *conn) refuse() {
	c.alone.Store(!c.server.isDraining())
	c.farewell()
	closeNow(c.nc)
}
