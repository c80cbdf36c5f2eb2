package rpcserver

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	// maxRefusals is how many surplus connections are told at once that they are refused.
	// Others are closed without a word.
	maxRefusals = 64
	// silentTime is how long a connection may ask nothing at first before it is worth
	// less than a new one.
	silentTime = time.Second
	// noRoomTime is how long no connection is searched again that could make room: the
	// search takes a while with many connections.
	noRoomTime = 20 * time.Millisecond
)

// add counts a connection in; false: there are too many, or the server ended.
func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	if s.sealed || len(s.conns)-s.yielding >= s.cfg.Limits.Conns && !s.makeRoomLocked(c) {
		s.past.Refused++
		refused, crowded := s.past.Refused, !s.sealed
		s.mu.Unlock()
		if crowded {
			s.logAside(&s.paces.refused, slog.LevelWarn, "connections refused: too many", "limit", s.cfg.Limits.Conns, "remote", c.remote, "refused so far", refused)
		}
		return false
	}
	defer s.mu.Unlock()
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

// makeRoomLocked has a connection give its place to c: one that asked nothing since it
// came, or else an idle one of the address that has the most, if c is of an address
// with fewer. One client with many connections must not keep all others out.
func (s *Server) makeRoomLocked(c *conn) bool {
	now := time.Now()
	if s.yielding > s.cfg.Limits.Conns/8 {
		return false // those that were told so are slow to go
	}
	var most netip.Prefix
	for from, n := range s.froms {
		if n > s.froms[most] {
			most = from
		}
	}
	crowded := s.froms[most] > s.froms[c.from]+1
	if !crowded && now.Before(s.noRoomTo) {
		return false // none was found just now
	}
	var idle *conn
	for o := range s.conns {
		if o.yields || o.inflight.Load() > 0 {
			continue
		}
		if o.requests.Load() == 0 && now.Sub(o.born) > silentTime {
			idle = o
			break
		}
		if crowded && o.from == most {
			idle = o
		}
	}
	if idle == nil {
		s.noRoomTo = now.Add(noRoomTime)
		return false
	}
	idle.yields = true
	s.yielding++
	s.leaveFromLocked(idle)
	idle.alone.Store(true)
	idle.stop() // it says that requests which it has not read are not executed
	return true
}

// from is what counts as one client: an address, or a network of IPv6, in which a client
// has as many addresses as it likes.
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

// refuse tells a client to call elsewhere: nothing is executed on this connection, and
// the client's other connections stay as they are.
func (c *conn) refuse() {
	c.alone.Store(!c.server.isDraining())
	c.farewell(linger)
	c.discard()
}

// discard closes a connection that was never served.
func (c *conn) discard() {
	closeNow(c.nc)
	if c.wire != nil {
		c.wire.end()
	}
}

// Tests: busy_test.go, hostile_linux_test.go, limits_test.go.
