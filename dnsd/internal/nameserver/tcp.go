package nameserver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
)

const (
	// readBuffer holds what a connection has sent and is not answered: some 80
	// queries. It grows for a longer query as its octets come, up to the longest
	// possible, and is given back after it.
	readBuffer = 4 << 10
	maxQuery   = 2 + maxTCP
	// flushAfter bounds the answers collected for one write. With one largest answer
	// after them a connection holds at most 96 KiB, and only while it writes.
	flushAfter = 32 << 10
	// The kernel's buffers for a connection: a few reads of queries, and enough for a
	// transfer at 5 MB/s over a round trip of 50 ms.
	kernelReads  = 64 << 10
	kernelWrites = 256 << 10
	// writeTime is how long a client may take to read what one write sends. It is as
	// long as a TCP connection over a bad network needs to repeat a segment several
	// times.
	writeTime = 10 * time.Second
	// placeTime is how long a connection that may only become a session may take for the
	// first message, with the handshake of TLS.
	placeTime = 5 * time.Second
	// keepBuffer is the largest buffer that goes back to the pool.
	keepBuffer = 128 << 10
)

// acceptLoop serves the connections of one listener until it is closed.
func (s *Server) acceptLoop(ctx context.Context, ln net.Listener, tr transport, wg *sync.WaitGroup) error {
	failures, told := 0, time.Time{}
	err := limit.Accept(ctx, ln, func(c net.Conn) { s.accept(ctx, c, tr, wg) }, func(err error) {
		// It may last, and a client may be the cause: the log must not grow with it.
		failures++
		if now := time.Now(); now.Sub(told) >= tellEvery {
			s.settings.Load().log.Warn("accept failed", "listener", ln.Addr(), "times", failures, "error", err)
			failures, told = 0, now
		}
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accept serves a new connection, or closes it if it is one too many. One that is too many
// for queries may begin a session, if push has a place for it: clients that follow the zones
// must not be kept out by connections that do not, nor a network of many by ConnsPerAddr.
func (s *Server) accept(ctx context.Context, c net.Conn, tr transport, wg *sync.WaitGroup) {
	set := s.settings.Load()
	from := addrOf(c.RemoteAddr())
	var place *push.Place
	if !s.conns.add(c, from, set.TCP) {
		if place = s.push.Reserve(from); place == nil || !s.conns.wait(c) {
			place.Free()
			s.conns.refused.Add(1)
			c.Close()
			return
		}
	}
	bound(c)
	if tr == overTLS {
		wire := push.NewWire(c)
		c = &tlsConn{Conn: tls.Server(wire, set.TLS.Config), wire: wire}
	}
	wg.Go(func() { s.serveConn(ctx, c, from, tr, place) })
}

// bound bounds the kernel's buffers for a connection, which otherwise grow to
// megabytes for a client that asks and does not read.
func bound(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetReadBuffer(kernelReads)
		t.SetWriteBuffer(kernelWrites)
	}
}

// tlsConn also holds what is below TLS. The connection there is the key in connTable.
type tlsConn struct {
	*tls.Conn
	wire *push.Wire
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// conn is one TCP or TLS connection. Its queries are answered in order; a zone
// transfer runs beside them, so that answers may overtake it (RFC 7766 6.2.1.1).
type conn struct {
	net.Conn
	srv  *Server
	from netip.Addr
	r    responder

	buf      []byte        // what was read and is not answered
	idle     time.Duration // how long the next query may take
	extended time.Time     // when the read deadline was set
	progress bool          // a whole query came since then
	ended    bool          // the client sends no more but may still read
	handed   bool          // the connection belongs to push now
	place    *push.Place   // it may become a session, and nothing else; nil: it may have queries

	mu       sync.Mutex     // guards writing, so that messages stay whole
	transfer sync.WaitGroup // at most one runs
	busy     chan struct{}  // holds a token while a transfer runs
}

func (s *Server) serveConn(ctx context.Context, nc net.Conn, from netip.Addr, tr transport, place *push.Place) {
	c := &conn{Conn: nc, srv: s, from: from, buf: make([]byte, 0, readBuffer), busy: make(chan struct{}, 1), progress: true, place: place}
	c.r = responder{count: s.tcpCounters(), from: from}
	raw := nc
	if t, ok := nc.(*tlsConn); ok {
		raw = t.wire.Conn
	}
	defer s.conns.remove(raw)
	defer place.Free()
	defer func() {
		if !c.handed {
			if place != nil {
				s.conns.refused.Add(1)
			}
			nc.Close()
			c.transfer.Wait()
		}
	}()
	for c.serve(ctx, from, tr) {
	}
	if c.ended {
		c.transfer.Wait() // the client still wants all of it (RFC 9293 section 3.6)
	}
}

// serve reads once and answers every whole query that has come, with one write for
// all of them. It returns false at the end of the connection.
func (c *conn) serve(ctx context.Context, from netip.Addr, tr transport) bool {
	now := time.Now()
	c.extend(now)
	if ctx.Err() != nil { // after extend, which may have undone drain's deadline
		return false
	}
	n, err := c.Read(c.buf[len(c.buf):cap(c.buf)])
	if n == 0 && err != nil {
		c.ended = errors.Is(err, io.EOF)
		// While a transfer runs, a client without queries is not idle.
		c.progress, c.extended = true, time.Time{}
		return errors.Is(err, os.ErrDeadlineExceeded) && len(c.buf) == 0 && len(c.busy) > 0
	}
	c.buf = c.buf[:len(c.buf)+n]
	c.srv.prepare(&c.r, now)

	out := c.srv.buffers.Get().(*[]byte)
	defer func() {
		if cap(*out) <= keepBuffer {
			*out = (*out)[:0]
			c.srv.buffers.Put(out)
		}
	}()
	rest := c.buf
	for len(rest) >= 2 {
		size := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+size {
			break
		}
		msg := rest[2 : 2+size]
		rest = rest[2+size:]
		c.progress = true
		if c.srv.push.Takes(msg) {
			if !c.flush(out) || c.handOver(msg, rest, from, tr) {
				return false
			}
			*out = c.srv.push.Refuse(*out, msg, from)
			continue
		}
		if c.place != nil {
			return false
		}
		*out = c.answer(*out, msg, from, tr)
		if c.r.transfer != nil {
			if !c.flush(out) || !c.startTransfer(ctx) {
				return false
			}
		} else if len(*out) > flushAfter && !c.flush(out) {
			return false
		}
	}
	c.keep(rest)
	return c.flush(out)
}

// keep makes rest the content of buf, with room for more.
func (c *conn) keep(rest []byte) {
	switch {
	case len(rest) == cap(c.buf):
		c.buf = append(make([]byte, 0, min(2*len(rest), maxQuery)), rest...)
	case cap(c.buf) > readBuffer && len(rest) < readBuffer/2:
		c.buf = append(make([]byte, 0, readBuffer), rest...)
	default:
		c.buf = c.buf[:copy(c.buf, rest)]
	}
}

// extend sets the read deadline, once for each query and not for each octet: a client
// that sends one octet a second must not stay for ever. To set it costs as much as an
// answer, so it is left alone for an eighth of its time.
func (c *conn) extend(now time.Time) {
	if !c.progress || now.Sub(c.extended) < c.idle/8 {
		return
	}
	c.idle = c.srv.conns.idle(c.srv.settings.Load().TCP)
	if c.place != nil {
		c.idle = c.srv.placeTime
	}
	c.r.idle = c.idle
	c.SetReadDeadline(now.Add(c.idle))
	c.extended, c.progress = now, false
}

// answer appends the framed answer to msg. A panic costs one answer.
func (c *conn) answer(dst, msg []byte, from netip.Addr, tr transport) (out []byte) {
	base := len(dst)
	defer func() {
		if p := recover(); p != nil {
			out = finishFrame(c.srv.panicked(&c.r, append(dst[:base], 0, 0), msg, p), base)
		}
	}()
	return finishFrame(c.r.respond(append(dst, 0, 0), msg, from, tr), base)
}

// finishFrame writes the length of the message at base, or removes the frame if there
// is no message.
func finishFrame(out []byte, base int) []byte {
	n := len(out) - base - 2
	if n <= 0 {
		return out[:base]
	}
	binary.BigEndian.PutUint16(out[base:], uint16(n))
	return out
}

// flush writes what was collected.
func (c *conn) flush(out *[]byte) bool {
	if len(*out) == 0 {
		return true
	}
	err := c.write(*out)
	*out = (*out)[:0]
	return err == nil
}

func (c *conn) write(p []byte) error {
	return c.writeWithin(p, c.srv.writeTime)
}

func (c *conn) writeWithin(p []byte, patience time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.srv.conns.slow.Add(1)
	}
	return err
}

// startTransfer sends r.transfer beside the connection's other answers. A
// second one waits for the first.
func (c *conn) startTransfer(ctx context.Context) bool {
	t := c.r.transfer
	c.r.transfer = nil
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	c.transfer.Go(func() {
		defer func() { <-c.busy }()
		if err := c.srv.runTransfer(ctx, t, c); err != nil {
			// The client must see that the transfer is not whole.
			c.Close()
		}
	})
	return true
}

// writeTransfer writes one message of a transfer.
func (c *conn) writeTransfer(wire []byte) error {
	if len(wire) > maxTCP {
		return errors.New("message too long")
	}
	frame := make([]byte, 2, 2+len(wire))
	binary.BigEndian.PutUint16(frame, uint16(len(wire)))
	return c.writeWithin(append(frame, wire...), c.srv.slots.patience(c.srv.writeTime))
}
