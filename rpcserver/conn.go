package rpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

const (
	// linger is how long a closed connection is still read from, so that bytes which the
	// client had sent do not cause a reset that destroys our last words. A client that
	// goes on sending has not read them yet, and gets more time, up to lingerMost in all.
	linger     = 250 * time.Millisecond
	lingerMost = 2 * time.Second
	// signOfLife is well below the time that rpcclient waits for the answer of a ping.
	signOfLife = 500 * time.Millisecond
)

// conn is one client's connection: a goroutine that reads, one for each call.
type conn struct {
	server *Server
	nc     net.Conn
	remote string
	from   netip.Prefix // see from
	born   time.Time
	yields bool // it makes room for another; guarded by server.mu
	wire   wire // nil: there is none yet, or the user's codec cannot be made; owned by the reader until greeted is closed
	out    *output

	inflight atomic.Int64  // calls accepted and not answered
	calls    gate          // the calls that run
	live     live          // and those that can be ended from outside
	peer     Peer          // known when TLS has shaken hands
	idle     chan struct{} // capacity 1: the last call ended after the reader had
	ended    atomic.Bool   // the reader reads no more requests
	greeted  chan struct{} // closed when it can be written to: TLS has shaken hands
	done     chan struct{} // closed when serve ends

	requests atomic.Uint64
	in       *input
	mid      bool // within a request; owned by the reader
	buffered func() int
	head     rpcwire.Header // of the request that is being read; owned by the reader
	charge   charge         // for the request that is being read; owned by the reader
	last     uint64         // highest sequence number accepted; owned by the reader

	resp rpcwire.Response // that is being encoded; guarded by out

	mu       sync.Mutex    // guards stopped, and with it the read deadline
	stopped  bool          // read no more
	halt     chan struct{} // closed when stopped
	aborted  atomic.Bool
	lost     atomic.Bool // the client has gone
	draining atomic.Bool
	alone    atomic.Bool // it ends, and the server goes on
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		server: s, nc: nc, remote: nc.RemoteAddr().String(), from: from(nc), born: time.Now(),
		idle: make(chan struct{}, 1), greeted: make(chan struct{}), halt: make(chan struct{}), done: make(chan struct{}),
	}
	c.calls.init(s.cfg.Limits.InFlight)
	c.out = newOutput(nc, s.cfg.Limits.WriteTimeout, &s.types.Buffers, c.busy)
	c.in = &input{conn: c}
	if s.cfg.Codec == nil {
		w := &gobWire{in: rpcwire.NewRequestReader(c.in, s.cfg.Limits.Frame, &s.types, c.claim), enc: rpcwire.NewWriter(&s.types), out: c.out}
		c.wire, c.buffered = w, w.in.Buffered
	}
	return c
}

// equip makes the user's codec, if there is to be one. That is the user's code, for which
// the connections after this one must not wait to be accepted.
func (c *conn) equip() error {
	if c.wire != nil {
		return nil
	}
	s := c.server
	m := &metered{r: c.in, limit: s.cfg.Limits.Frame}
	w := &codecWire{in: m}
	err := errEnded
	defer func() {
		if err != nil {
			s.logPaced(&s.paces.codecs, linesOfFaults, slog.LevelError, "no codec", "remote", c.remote, "err", err)
		}
	}()
	err = contained("making a codec", func() error {
		w.codec = s.cfg.Codec(stream{m, c.out, c.nc})
		return nil
	})
	if err != nil {
		return err
	}
	c.wire = w
	return nil
}

// stream is what a foreign codec gets to read and write.
type stream struct {
	io.Reader
	io.Writer
	nc net.Conn
}

func (s stream) Close() error { return s.nc.Close() }

// serve reads requests until the client or the server ends, and answers all that it
// accepted. A codec, a Trace function or a type that decodes itself may end the goroutine:
// that ends the connection.
func (c *conn) serve() (err error) {
	err = errEnded
	defer func() { err = c.conclude(err) }()
	err = c.readAll()
	return err
}

// readAll prepares the connection and reads its requests.
func (c *conn) readAll() error {
	if t := c.server.cfg.Trace; t != nil && t.ConnBegin != nil {
		c.server.hook(func() { t.ConnBegin(c.remote) })
	}
	if err := c.equip(); err != nil {
		return err
	}
	if err := c.handshake(); err != nil {
		return err
	}
	close(c.greeted)
	return c.read()
}

// lose notes that the client has gone: calls that wait for their turn need not be executed.
func (c *conn) lose() {
	c.lost.Store(true)
	c.calls.close()
}

// handshake is the server's half of TLS, if it is TLS.
func (c *conn) handshake() error {
	defer func() { c.peer = peerOf(c.nc) }()
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.Limits.FrameTimeout)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// read is the reader's loop. It does not wait for calls to end: pings are answered
// however busy the methods are.
func (c *conn) read() error {
	s := c.server
	for {
		s.memory.give(&c.charge)
		c.in.within = false
		c.out.clear(c.halt)
		if err := c.wire.request(&c.head); err != nil {
			return err
		}
		c.mid = true
		c.requests.Add(1)
		seq := c.head.Seq
		m := s.services.find(c.head.Method)
		why := ""
		if m != nil {
			why = s.serving.why(m.name)
		}
		if m == nil || c.head.Refused != nil || why != "" {
			if err := c.unserved(m, why); err != nil {
				return err
			}
			continue
		}
		k := c.newCall(m)
		bad, broken := c.wire.body(k.arg.Interface())
		c.mid = false
		if err := cutOff(broken); err != nil {
			return err
		}
		c.last = max(c.last, seq)
		if bad != nil {
			c.respond(rpcwire.Response{ServiceMethod: m.name, Seq: seq, Error: bad.Error()}, nil)
			if broken != nil {
				return broken // after the answer, which says why
			}
			continue
		}
		c.begin(k)
	}
}

// cutOff is why a body was not read to its end, nil if it was. Such a request is not
// answered: the client may send it again elsewhere, when it knows that the request was not
// executed here.
func cutOff(broken error) error {
	switch {
	case errors.Is(broken, os.ErrDeadlineExceeded):
		return broken
	case errors.Is(broken, io.EOF), errors.Is(broken, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return nil
}

// claim waits until a request may take so many bytes of memory.
func (c *conn) claim(bytes int) error {
	if c.server.memory.take(&c.charge, bytes, c.holds, c.over) == nil {
		return nil
	}
	if c.isStopped() {
		return os.ErrDeadlineExceeded
	}
	return net.ErrClosed
}

// over reports whether the connection should wait for nothing any more.
func (c *conn) over() bool { return c.aborted.Load() || c.lost.Load() || c.isStopped() }

// holds begins a time in which nothing is read, until end is called. Pings remain unread,
// too, so the client is told that the server is alive. That it has gone shows only when
// this cannot be written: the calls that hold the memory may be waiting for just that.
func (c *conn) holds() (end func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(signOfLife)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.tell(rpcwire.Busy())
				if c.out.failed() {
					c.lose()
					c.live.end(ErrDisconnected)
					c.server.memory.wake()
					return
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		c.in.within = false // the client is not to blame for that time
	}
}

// answer ends a call: with its reply, or what failed.
func (c *conn) answer(k *call) {
	m := k.method
	if never := k.ctx != nil && k.ctx.answer(); never && k.never != nil {
		k.unmade = true
	}
	if !k.ended && k.failed == "" {
		k.isDeserted()
	}
	var reply any
	if k.failed == "" {
		reply = k.args[3].Interface()
	} else {
		m.failures.Add(1)
	}
	m.calls.Add(1)
	if t := c.server.cfg.Trace; t != nil && t.CallEnd != nil {
		k.ends(t, reply)
		return
	}
	c.finish(k, reply)
}

// finish answers a call and frees it.
func (c *conn) finish(k *call, reply any) {
	if c.out.lock() != nil {
		c.leave(k)
		return
	}
	c.resp = rpcwire.Response{ServiceMethod: k.method.name, Seq: k.seq, Error: k.failed, NotExecuted: k.unmade}
	if k.unmade && k.never != nil {
		c.resp.Wait = k.never.stayAway
	}
	m := k.method
	err := c.encode(k, reply)
	c.leave(k) // before the answer is written, so that counts are right when the client has it
	c.out.unlockAndWrite()
	if err != nil {
		c.unencoded(m, err)
	}
}

// unencoded logs that a reply cannot be encoded.
//
//go:noinline
func (c *conn) unencoded(m *method, err error) {
	c.server.logPaced(&m.faults, linesOfFaults, slog.LevelError, "reply cannot be encoded", "method", m.name, "remote", c.remote, "err", err)
}

// leave counts a call out and frees it.
func (c *conn) leave(k *call) {
	s := c.server
	if k.all {
		s.calls.leave()
	}
	if k.mine {
		c.calls.leave()
	}
	s.memory.give(&k.charge)
	if k.listed {
		c.live.remove(k)
	}
	if k.ctx != nil {
		k.ctx.end(context.Canceled)
	}
	k.free()
	if c.inflight.Add(-1) == 0 && c.ended.Load() {
		signal(c.idle)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// respond answers a request that needs no call.
func (c *conn) respond(resp rpcwire.Response, reply any) {
	if c.out.lock() != nil {
		return
	}
	c.resp = resp
	err := c.encode(nil, reply)
	c.out.unlockAndWrite()
	if err != nil {
		c.server.logAside(&c.server.paces.codecs, slog.LevelError, "answer cannot be encoded", "method", resp.ServiceMethod, "remote", c.remote, "err", err)
	}
}

// encode queues c.resp, the answer of k or, if that is nil, of a request that needed no call.
// c.out is locked. A reply that cannot be encoded becomes an error, which encode returns for
// the log.
func (c *conn) encode(k *call, reply any) (failed error) {
	whole := false
	defer func() {
		if !whole {
			c.deserted(k)
		}
	}()
	if c.resp.NotExecuted && c.resp.Error != "" { // else it is the answer to a ping
		c.server.declined.Add(1)
	}
	if failed = c.wire.respond(&c.resp, reply); failed != nil {
		c.resp.Error = "rpcserver: encoding the reply of " + c.resp.ServiceMethod + ": " + failed.Error()
		if c.wire.respond(&c.resp, nil) != nil { // not even the error can be encoded: the client must not wait for ever
			closeNow(c.nc) // no more: c.out is locked
		}
		if c.wire.spent() && !c.alone.Swap(true) {
			go c.server.retire(c) // not here: it takes locks that must not wait for our output
		}
	}
	whole = true
	return failed
}

// deserted ends the connection, because a codec or a type that encodes itself has ended the
// goroutine: the answer is missing, and a codec may have written half of it. It does what that
// goroutine will not do any more: it gives c.out back and counts the call out.
//
//go:noinline
func (c *conn) deserted(k *call) {
	method := c.resp.ServiceMethod
	c.out.buf = nil // the encoder may have given it to others
	c.out.failLocked(errEnded)
	closeNow(c.nc)
	c.out.mu.Unlock()
	if k != nil {
		c.leave(k)
	}
	c.server.logAside(&c.server.paces.codecs, slog.LevelError, "answer cannot be encoded", "method", method, "remote", c.remote, "err", errEnded)
}

// busy reports whether calls are in flight.
func (c *conn) busy() bool { return c.inflight.Load() > 0 }

// Tests: bodies_test.go, cut_test.go, gone_test.go, hostile_calls_test.go, interop_test.go.
