package rpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readBuffer = 16 << 10 // a burst of requests in one read
	// linger is how long a closed connection is still read from, so that what the
	// client had sent does not become a reset that destroys our last words.
	linger = 250 * time.Millisecond

	pingMethod  = "_rollcall.Ping"
	drainMethod = "_rollcall.Drain"
	drainSeq    = math.MaxUint64
)

// conn is one client's connection: a goroutine that reads, one for each call.
type conn struct {
	server *Server
	nc     net.Conn
	remote string
	wire   wire
	out    *output

	inflight atomic.Int64
	room     chan struct{} // capacity 1: a call ended while the reader waited for one to
	idle     chan struct{} // capacity 1: the last call ended after the reader had
	ended    atomic.Bool   // the reader reads no more requests
	done     chan struct{} // closed when serve ends

	requests atomic.Uint64
	mid      bool // within a request; owned by the reader
	buffered func() int
	last     uint64 // highest sequence number accepted; owned by the reader

	mu       sync.Mutex // guards stopped, and with it the read deadline
	stopped  bool       // read no more
	draining atomic.Bool
	alone    atomic.Bool // it ends, and the server goes on
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		server: s, nc: nc, remote: nc.RemoteAddr().String(),
		room: make(chan struct{}, 1), idle: make(chan struct{}, 1), done: make(chan struct{}),
	}
	c.out = newOutput(nc, s.cfg.WriteTimeout, &s.buffers, c.busy)
	in := &input{conn: c}
	if s.cfg.Codec == nil {
		w := newGobWire(in, c.out, s.cfg.MaxFrame, &s.types)
		c.wire, c.buffered = w, w.in.r.Buffered
	} else {
		m := &metered{r: in, limit: s.cfg.MaxFrame}
		c.wire = &codecWire{codec: s.cfg.Codec(stream{m, c.out, nc}), in: m}
	}
	return c
}

// stream is what a foreign codec gets to read and write.
type stream struct {
	io.Reader
	io.Writer
	nc net.Conn
}

func (s stream) Close() error { return s.nc.Close() }

// serve reads requests until the client ends, or the server does, and answers
// everything it accepted.
func (c *conn) serve() error {
	err := c.handshake()
	if err == nil {
		err = c.read()
	}
	c.ended.Store(true)
	if errors.Is(err, errLoose) {
		c.alone.Store(true)
		c.sendDrain(c.last) // now: what comes behind it is read by nobody
	}
	for c.inflight.Load() > 0 {
		<-c.idle
	}
	c.out.flushed()
	switch {
	case c.isStopped() && errors.Is(err, os.ErrDeadlineExceeded):
		err = nil
		c.farewell()
	case errors.Is(err, errLoose):
		c.farewell()
	}
	c.out.fail(net.ErrClosed)
	c.nc.Close()
	close(c.done)
	if err == io.EOF {
		err = nil
	}
	return err
}

// handshake is the server's half of TLS, if it is TLS.
func (c *conn) handshake() error {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.FrameTimeout)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// read is the reader's loop.
func (c *conn) read() error {
	s := c.server
	for {
		name, seq, err := c.wire.request()
		if err != nil {
			return err
		}
		c.mid = true
		c.requests.Add(1)
		m := s.services.find(name)
		if m == nil {
			method := string(name)
			_, broken := c.wire.body(nil)
			c.mid = false
			if errors.Is(broken, os.ErrDeadlineExceeded) {
				return broken
			}
			c.last = max(c.last, seq)
			if method == pingMethod {
				c.respond(method, seq, "", nothing)
			} else {
				c.respond(method, seq, s.services.missing(method), nil)
			}
			if broken != nil {
				return broken
			}
			continue
		}
		k := m.newCall(c, seq)
		bad, broken := c.wire.body(k.arg.Interface())
		c.mid = false
		if errors.Is(broken, os.ErrDeadlineExceeded) {
			return broken
		}
		c.last = max(c.last, seq)
		if bad != nil {
			c.respond(m.name, seq, bad.Error(), nil)
			if broken != nil {
				return broken // said why, though
			}
			continue
		}
		k.args[2] = m.newReply()
		if err := c.admit(); err != nil {
			return err
		}
		if t := s.cfg.Trace; t != nil {
			k.begun = time.Now()
			if t.CallBegin != nil {
				t.CallBegin(CallInfo{Method: m.name, Remote: c.remote})
			}
		}
		go k.run()
	}
}

// admit counts a call in, when the limits leave room.
func (c *conn) admit() error {
	most := int64(c.server.cfg.MaxInFlight)
	if c.inflight.Add(1) > most {
		for c.inflight.Load() > most {
			<-c.room
		}
	}
	if c.server.calls.enter() {
		return nil
	}
	c.inflight.Add(-1) // alone in adding, so nobody waits for it
	return net.ErrClosed
}

// answer ends a call: with its reply, or what failed.
func (c *conn) answer(k *call) {
	m := k.method
	failed := k.failed
	var reply any
	if failed == "" {
		reply = k.args[2].Interface()
	} else {
		m.failures.Add(1)
	}
	m.calls.Add(1)
	if t := c.server.cfg.Trace; t != nil && t.CallEnd != nil {
		t.CallEnd(CallInfo{Method: m.name, Remote: c.remote, Took: time.Since(k.begun), Failed: failed, Panic: k.panick})
	}
	if c.out.lock() != nil {
		c.leave()
		k.free()
		return
	}
	c.encode(m.name, k.seq, failed, reply)
	c.leave() // before the client can know, so that counts are right when it does
	k.free()
	c.out.unlock()
}

// leave counts a call out.
func (c *conn) leave() {
	c.server.calls.leave()
	left := c.inflight.Add(-1)
	if left >= int64(c.server.cfg.MaxInFlight) { // the reader's own is counted: it waits
		signal(c.room)
	} else if left == 0 && c.ended.Load() {
		signal(c.idle)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// respond answers what needs no call.
func (c *conn) respond(method string, seq uint64, failed string, reply any) {
	if c.out.lock() != nil {
		return
	}
	c.encode(method, seq, failed, reply)
	c.out.unlock()
}

// encode queues a response; c.out is locked. A reply that cannot be encoded
// becomes an error.
func (c *conn) encode(method string, seq uint64, failed string, reply any) {
	if err := c.wire.respond(method, seq, failed, reply); err != nil {
		c.server.cfg.Logger.Error("reply cannot be encoded", "method", method, "remote", c.remote, "err", err)
		err = c.wire.respond(method, seq, "rpcserver: encoding the reply of "+method+": "+err.Error(), nil)
		if err != nil { // not even the error: the client must not wait for ever
			c.nc.Close()
		}
		if c.wire.spent() && !c.alone.Swap(true) {
			go c.server.retire(c) // ends at once, but its locks must not wait for our output
		}
	}
}

// busy reports whether calls are in flight.
func (c *conn) busy() bool { return c.inflight.Load() > 0 }

// drain tells the client to call here no more. Everything that still comes is
// answered, until nothing came for the quiet time and nothing is in flight, or
// until stop is closed.
func (c *conn) drain(quiet time.Duration, stop <-chan struct{}) {
	if c.draining.Swap(true) {
		return
	}
	c.sendDrain(math.MaxUint64) // no request is refused yet
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	seen := c.requests.Load()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
			now := c.requests.Load()
			if now == seen && c.inflight.Load() == 0 {
				c.stop()
				return
			}
			seen = now
		case <-stop:
			c.stop()
			return
		}
	}
}

// sendDrain sends the drain frame: a response to a request that nobody made.
// net/rpc's client reads and drops it. Requests after last are not executed here.
func (c *conn) sendDrain(last uint64) {
	if !c.wire.drains() || c.out.lock() != nil {
		return
	}
	word := "drain "
	if c.alone.Load() {
		word = "retire "
	}
	if err := c.wire.respond(drainMethod, drainSeq, word+strconv.FormatUint(last, 10), nil); err != nil {
		c.server.cfg.Logger.Error("drain frame", "remote", c.remote, "err", err)
	}
	c.out.unlock()
}

// stop ends the reading, wherever it is.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.nc.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) isStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// farewell says which requests were executed and which never will be, and lets
// the client close first.
func (c *conn) farewell() {
	c.sendDrain(c.last)
	c.out.flushed()
	if half, ok := c.nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(linger))
	io.Copy(io.Discard, c.nc) // until it has read all and closed, or the time is over
}

// abort ends the connection at once.
func (c *conn) abort() {
	c.out.fail(net.ErrClosed)
	c.nc.Close()
	signal(c.room)
}

// input is the connection's reading side, with its time limits.
type input struct {
	conn  *conn
	until time.Time // the read deadline; zero: none
}

func (in *input) Read(p []byte) (int, error) {
	c := in.conn
	for {
		mid := c.mid || (c.buffered != nil && c.buffered() > 0)
		limit := c.server.cfg.IdleTimeout
		if mid {
			limit = c.server.cfg.FrameTimeout
		}
		if err := in.extend(limit); err != nil {
			return 0, err
		}
		n, err := c.nc.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.isStopped() {
			in.until = time.Time{}
			if !mid && c.inflight.Load() > 0 {
				continue // it is not idle: it waits for us
			}
			c.server.log(slog.LevelDebug, "timeout", "remote", c.remote, "within request", mid)
		}
		return n, err
	}
}

// extend moves the read deadline to limit from now, roughly: each move costs.
func (in *input) extend(limit time.Duration) error {
	if limit <= 0 && in.until.IsZero() {
		return nil
	}
	now := time.Now()
	until := time.Time{}
	if limit > 0 {
		if left := in.until.Sub(now); left > limit-limit/8 && left <= limit {
			return nil
		}
		until = now.Add(limit)
	}
	c := in.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return os.ErrDeadlineExceeded
	}
	in.until = until
	return c.nc.SetReadDeadline(until)
}
