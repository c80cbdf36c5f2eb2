package rpcserver

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/rpc"
	"os"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// drain tells the client to call elsewhere. Requests that still come are answered, until
// nothing came for the quiet time and nothing is in flight, or until stop is closed.
func (c *conn) drain(quiet time.Duration, stop <-chan struct{}) {
	if c.draining.Swap(true) {
		return
	}
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	if !c.greets(tick, stop) {
		c.stop()
		return
	}
	c.sendDrain(math.MaxUint64) // no request is refused yet
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

// greets waits for the TLS handshake, before which nothing can be written. It is false if
// the handshake takes longer than its two round trips may, or stop was closed.
func (c *conn) greets(tick *time.Ticker, stop <-chan struct{}) bool {
	for flights := 1; ; flights-- {
		select {
		case <-c.greeted:
			return true
		case <-c.done:
			return false
		case <-stop:
			return false
		case <-tick.C:
			if flights == 0 {
				return false
			}
		}
	}
}

// sendDrain sends the notice that requests after last are not executed here.
func (c *conn) sendDrain(last uint64) {
	if c.alone.Load() {
		c.tell(rpcwire.Retire(last))
		return
	}
	c.tell(rpcwire.Drain(last))
}

// tell sends a notice.
func (c *conn) tell(notice rpc.Response) {
	if c.wire == nil || !c.wire.drains() || c.out.lock() != nil {
		return
	}
	c.resp = rpcwire.Response{ServiceMethod: notice.ServiceMethod, Seq: notice.Seq, Error: notice.Error}
	err := c.wire.respond(&c.resp, nil)
	c.out.unlockAndWrite()
	if err != nil {
		c.server.logPaced(&c.server.paces.conns, linesOfConns, slog.LevelDebug, "a notice cannot be sent", "remote", c.remote, "err", err)
	}
}

// stop ends the reading.
func (c *conn) stop() {
	c.mu.Lock()
	if !c.stopped {
		c.stopped = true
		close(c.halt)
	}
	c.nc.SetReadDeadline(time.Unix(1, 0))
	c.mu.Unlock()
	c.server.memory.wake()
}

func (c *conn) isStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// farewell says which requests were executed, and gives the client some time to close
// first.
func (c *conn) farewell(most time.Duration) {
	c.sendDrain(c.last)
	c.out.flushed()
	if half, ok := c.nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	var waste [4096]byte
	end := time.Now().Add(most)
	for now := time.Now(); now.Before(end); now = time.Now() {
		c.nc.SetReadDeadline(now.Add(min(linger, end.Sub(now))))
		if _, err := c.nc.Read(waste[:]); err != nil {
			return // it has read all and closed, or is silent
		}
	}
}

// abort ends the connection at once.
func (c *conn) abort() {
	c.aborted.Store(true)
	closeNow(c.nc) // a write fails then, and wakes what waits for it
	c.calls.close()
	c.live.end(ErrServerClosed)
	c.server.memory.wake()
}

// errEnded is why a connection ends whose reader has no other reason.
var errEnded = errors.New("rpcserver: code of the user ended the goroutine of a connection: Config.Codec, Trace and types that encode or decode themselves must not call runtime.Goexit")

// conclude ends the connection when err has ended the reading, after the answers to what was
// read. It returns the error of the connection.
func (c *conn) conclude(err error) error {
	c.server.memory.give(&c.charge)
	var lost *net.OpError
	if errors.As(err, &lost) && !c.isStopped() {
		c.lose()
	}
	c.ended.Store(true)
	unread := errors.Is(err, rpcwire.ErrUnread) || errors.Is(err, io.ErrUnexpectedEOF) ||
		c.in.idled // a request may be on its way just now
	if unread {
		c.alone.Store(true)
		c.sendDrain(c.last) // now: requests after it are not read
	}
	if c.inflight.Load() > 0 {
		go c.attend(err)
	}
	for c.inflight.Load() > 0 {
		<-c.idle
	}
	c.out.flushed()
	switch {
	case c.isStopped() && errors.Is(err, os.ErrDeadlineExceeded):
		err = nil
		c.farewell(lingerMost)
	case unread:
		c.farewell(lingerMost)
	}
	if c.out.fail(net.ErrClosed) == errEnded { // that is why the reading has ended, too
		err = errEnded
	}
	defer close(c.done)
	defer c.nc.Close() // also when the codec's Close ends the goroutine
	if c.wire != nil {
		c.wire.end()
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

// closeNow closes at once: tls.Conn.Close would wait for a client that does not read.
func closeNow(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		t.NetConn().Close()
	}
	nc.Close()
}

// Tests: shutdown_test.go, silent_test.go, stop_test.go.
