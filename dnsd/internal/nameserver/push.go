package nameserver

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
)

// handOver gives the connection to push, with msg, which begins a session, and what came
// after it. false means that push has no room for it.
func (c *conn) handOver(msg, rest []byte, from netip.Addr, tr transport) bool {
	c.transfer.Wait() // all messages of a transfer come before what push sends
	to := push.Conn{Conn: c.Conn, From: from, TLS: tr == overTLS, Place: c.place}
	if t, ok := c.Conn.(*tlsConn); ok {
		to.Conn, to.Wire = t.Conn, t.wire
	}
	to.Buffered = binary.BigEndian.AppendUint16(nil, uint16(len(msg)))
	to.Buffered = append(append(to.Buffered, msg...), rest...)
	c.handed = c.srv.push.Serve(to)
	return c.handed
}

// Sessions are those of clients that follow a zone with one of the origins: see
// push.Server.Sessions.
func (s *Server) Sessions(origins []string, most int) (first []push.Session, total int) {
	return s.push.Sessions(origins, most)
}

// forPush is what push is told of the settings.
func (s *Server) forPush(set *settings) push.Config {
	c := push.Config{Off: set.Push.Off, Limits: set.Push.Limits, Answer: s.answerInSession, Reconfirm: set.Push.Reconfirm, Logger: set.log}
	for i := range set.zones {
		c.Zones = append(c.Zones, set.zones[i].zone)
	}
	return c
}

// answerInSession appends the framed answer to a query that came on a session. There the
// keepalive option is not allowed (RFC 8490 section 7.1.2), and zones are not transferred: a
// secondary has a connection for that.
func (s *Server) answerInSession(dst, msg []byte, from netip.Addr, private bool) (out []byte, fatal bool) {
	tr := overTCP
	if private {
		tr = overTLS
	}
	c := s.sessions.Get().(*conn)
	defer s.sessions.Put(c)
	s.prepare(&c.r, time.Now())
	base := len(dst)
	out = c.answer(dst, msg, from, tr)
	if c.r.transfer != nil {
		c.r.transfer = nil
		out = finishFrame(c.r.short(append(out[:base], 0, 0), msg, dns.RcodeRefused, 0, &noExtra), base)
	}
	return out, c.r.q.keepalive
}

// Tests: push_test.go.
