package nameserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udpBuffer is the longest query that is read: a query is a name, an OPT record and a
// TSIG record at most.
const udpBuffer = 2048

// portableLoop serves one UDP socket with what every system has: one packet for each
// system call. See udpLoop for Linux.
type portableLoop struct {
	srv  *Server
	conn *net.UDPConn
	r    responder
	v6   bool
	wild bool // bound to all addresses: a reply is sent from the one that was asked

	in, out, oob []byte
}

func newPortableLoop(s *Server, c *net.UDPConn, count *counters) (*portableLoop, error) {
	local := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	l := &portableLoop{
		srv: s, conn: c, v6: local.Is6() && !local.Is4In6(), wild: local.IsUnspecified(),
		in: make([]byte, udpBuffer),
	}
	l.r.count = count
	if l.wild {
		l.oob = make([]byte, 128)
		if l.v6 {
			return l, ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true)
		}
		return l, ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true)
	}
	return l, nil
}

func (l *portableLoop) run(ctx context.Context) error {
	for {
		n, oobn, _, from, err := l.conn.ReadMsgUDPAddrPort(l.in, l.oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Such as ICMP errors: they are about one packet, not the socket.
			continue
		}
		begin := time.Now()
		if n == len(l.in) || from.Port() == 0 {
			l.r.count.dropped.Add(1)
			continue
		}
		l.answer(l.in[:n], from.Addr().Unmap(), begin)
		if len(l.out) == 0 {
			continue
		}
		if _, _, err := l.conn.WriteMsgUDPAddrPort(l.out, l.source(l.oob[:oobn]), from); err != nil {
			l.r.count.sendErrors.Add(1)
		}
	}
}

// answer fills l.out. A panic costs one answer.
func (l *portableLoop) answer(msg []byte, from netip.Addr, now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			l.out = l.srv.panicked(&l.r, l.out[:0], msg, p)
		}
	}()
	l.srv.prepare(&l.r, now)
	l.out = l.r.respond(l.out[:0], msg, from, overUDP)
}

// source is the control message that sends the reply from the address that was asked.
func (l *portableLoop) source(oob []byte) []byte {
	if len(oob) == 0 {
		return nil
	}
	if l.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) != nil || cm.Dst == nil {
			return nil
		}
		if cm.Dst.To4() != nil {
			// An IPv4 client of a socket for both families.
			return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
		}
		return (&ipv6.ControlMessage{Src: cm.Dst}).Marshal()
	}
	var cm ipv4.ControlMessage
	if cm.Parse(oob) != nil || cm.Dst == nil {
		return nil
	}
	return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
}

// Tests: server_test.go.
