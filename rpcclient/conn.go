package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is one connection to a node, with many calls in flight. It differs from
// rpc.Client in what happens when something goes wrong: see the package comment.
//
// A call is in pending from before its first byte is written until it has a
// result, and whoever takes it out, with mu held, is the only one to touch it
// from then on and must finish it: the reader, the deadline timer, settle, or
// the caller who gives up.
type conn struct {
	*settings
	owner connOwner
	nc    net.Conn
	wire  wire
	raw   *rawWriter // writes that cannot block; nil: the writer writes everything

	load     atomic.Int32 // calls in pending
	lastRead atomic.Int64 // when a byte was last read, on the client's clock

	wmu sync.Mutex // guards what follows, up to mu; taken before mu
	writeState

	mu      sync.Mutex // guards what follows
	pending map[uint64]*call
	late    map[uint64]reflect.Type // see giveUpLocked
	seq     uint64                  // of the last request; begins with 1
	retired error                   // why no new calls; set before err
	err     error                   // why the connection is dead
	timer   *time.Timer             // fires at armed
	armed   time.Duration           // the earliest deadline; 0: none
	ping    *call                   // the ping in flight

	dead chan struct{}  // closed with err
	done sync.WaitGroup // reader and writer
}

// settings are what all connections of a client share.
type settings struct {
	epoch     time.Time
	pingEvery time.Duration // 0: no pings
	pingWait  time.Duration
	writeWait time.Duration
	maxQueue  int // bytes encoded and not yet written
}

// now is the client's clock: short to compare and to store.
func (s *settings) now() time.Duration { return time.Since(s.epoch) }

// connOwner is told once that a connection takes no more calls and once that it
// is dead; the two may overlap. It is called without locks.
type connOwner interface {
	connRetired(c *conn, why error)
	connDead(c *conn, why error)
}

// call is one request on one connection.
type call struct {
	method   string
	args     any
	reply    any           // nil: the body is dropped
	start    time.Duration // on the client's clock
	deadline time.Duration // on the client's clock; 0: none

	seq  uint64
	end  uint64 // offset in the stream behind its last byte
	err  error
	exec Executed
	done chan struct{} // one token when finished
}

var (
	errClosed       = errors.New("client closed")
	errRetired      = errors.New("connection takes no more calls")
	errDraining     = errors.New("server is draining")
	errToldToRetire = errors.New("server gave the connection up")
	errNodeGone     = errors.New("node is no longer announced")
	errSilent       = errors.New("connection silent: ping not answered")
	errQueueFull    = queueError{}
	errNotWritten   = errors.New("connection lost before the request was written")
)

// timeoutError is an attempt's own deadline. It is a context.DeadlineExceeded to
// errors.Is, as to the caller it is the same.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string {
	return fmt.Sprintf("no answer within %v", e.after.Round(time.Millisecond))
}
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
func (e timeoutError) Timeout() bool        { return true }

// queueError is the end of a call's time before there was room to write it.
type queueError struct{}

func (queueError) Error() string        { return "timed out waiting to be written" }
func (queueError) Is(target error) bool { return target == context.DeadlineExceeded }
func (queueError) Timeout() bool        { return true }

// newConn starts a connection on nc. codec nil means gob.
func newConn(nc net.Conn, s *settings, owner connOwner, newWire func(r io.ReadWriteCloser) wire) *conn {
	c := &conn{
		settings: s, owner: owner, nc: nc,
		pending: make(map[uint64]*call),
		dead:    make(chan struct{}),
	}
	c.lastRead.Store(int64(c.now()))
	c.wake = make(chan struct{}, 1)
	c.room = make(chan struct{}, 1)
	c.wire = newWire((*connStream)(c))
	c.raw = newRawWriter(nc)
	c.timer = time.AfterFunc(time.Hour, c.onTimer)
	c.mu.Lock()
	c.timer.Stop()
	if c.pingEvery > 0 {
		c.armLocked(c.now() + c.pingEvery)
	}
	c.mu.Unlock()
	c.done.Go(c.readLoop)
	c.done.Go(c.writeLoop)
	return c
}

// connStream is the connection as a codec sees it: reads are noted, writes are
// collected, and closing is the connection's business.
type connStream conn

func (s *connStream) Read(p []byte) (int, error) {
	n, err := s.nc.Read(p)
	if n > 0 {
		s.lastRead.Store(int64(s.now()))
	}
	return n, err
}

func (s *connStream) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

func (s *connStream) Close() error { return nil }

// usableLocked is nil while new calls are welcome. c.mu is held.
func (c *conn) usableLocked() error {
	if c.err != nil {
		return c.err
	}
	return c.retired
}

// usable tells whether new calls are welcome.
func (c *conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usableLocked() == nil
}

// send starts a call. Without an error the call will be finished, and its done
// gets a token. An error means that nothing was sent: for a context that has ended,
// or a call that is too late, nothing is.
func (c *conn) send(ctx context.Context, cl *call) error {
	if cl.deadline > 0 && cl.deadline <= cl.start {
		return errQueueFull
	}
	if err := c.lockForWrite(ctx, cl); err != nil {
		return err
	}
	if ctx.Err() != nil { // as late as can be: whoever waited may have gone
		c.unlockUnused()
		return contextError(ctx)
	}
	c.mu.Lock()
	err := c.usableLocked()
	seq := c.seq + 1
	c.mu.Unlock()
	if err != nil {
		c.unlockUnused()
		return err
	}

	mark := len(c.out)
	c.request = rpc.Request{ServiceMethod: cl.method, Seq: seq}
	out, spent, err := c.wire.encode(c.out, &c.request, cl.args)
	c.out = out
	if err != nil {
		c.unlockUnused()
		if spent {
			c.retire(fmt.Errorf("%w: an argument could not be encoded", errRetired))
		}
		return &encodeError{err}
	}

	c.mu.Lock()
	if err := c.usableLocked(); err != nil {
		// Nothing will be encoded here any more, so the request can go.
		c.mu.Unlock()
		c.out = c.out[:mark]
		c.unlockUnused()
		return err
	}
	c.seq = seq
	cl.seq, cl.end = seq, c.base+uint64(len(c.out))
	cl.err, cl.exec = nil, Never
	c.pending[seq] = cl
	c.load.Add(1)
	if cl.deadline > 0 {
		c.armLocked(cl.deadline)
	}
	c.mu.Unlock()
	c.flush() // unlocks wmu
	return nil
}

// abandon gives a call up. It returns false when a result is at hand already, or
// about to be: then done has or gets its token.
func (c *conn) abandon(cl *call) bool {
	c.mu.Lock()
	mine := c.pending[cl.seq] == cl
	if mine {
		c.giveUpLocked(cl.seq)
	}
	last := c.lastLocked()
	c.mu.Unlock()
	if last {
		c.fail(errRetired)
	}
	return mine
}

// takeLocked takes a call out of pending, nil if it is not there. c.mu is held.
func (c *conn) takeLocked(seq uint64) *call {
	cl := c.pending[seq]
	if cl != nil {
		delete(c.pending, seq)
		c.load.Add(-1)
		if cl == c.ping {
			c.ping = nil
		}
	}
	return cl
}

// lastLocked tells that a retired connection has nothing left to do. c.mu is held.
func (c *conn) lastLocked() bool {
	return c.retired != nil && c.err == nil && len(c.pending) == 0
}

// finish gives a call its result. The call is the caller's from here on.
func (cl *call) finish(exec Executed, err error) {
	cl.exec, cl.err = exec, err
	cl.done <- struct{}{}
}

// retire lets the connection finish what is in flight and then close.
func (c *conn) retire(why error) {
	c.mu.Lock()
	if c.usableLocked() != nil {
		c.mu.Unlock()
		return
	}
	c.retired = why
	last := c.lastLocked()
	c.mu.Unlock()
	c.owner.connRetired(c, why)
	if last {
		c.fail(why)
	}
}

// drained obeys the drain frame of rpcserver: requests after last were not and
// will not be executed, and there must be no more on this connection.
func (c *conn) drained(last uint64, why error) {
	var never []*call
	c.mu.Lock()
	told := c.usableLocked() != nil
	if !told {
		c.retired = why
	}
	for seq := range c.pending {
		if seq > last {
			never = append(never, c.takeLocked(seq))
		}
	}
	done := c.lastLocked()
	c.mu.Unlock()
	if !told { // before the calls: those tried again must not come back here
		c.owner.connRetired(c, why)
	}
	for _, cl := range never {
		cl.finish(Never, why)
	}
	c.close(done)
}

// fail ends the connection: the socket is closed and whatever is pending fails.
func (c *conn) fail(why error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	told := c.retired != nil
	if !told {
		c.retired = why
	}
	c.err = why
	close(c.dead)
	c.timer.Stop()
	c.mu.Unlock()

	closeNow(c.nc)
	if !told {
		c.owner.connRetired(c, why)
	}
	// What was written is known only when no write is under way. A writer comes
	// back soon, for the socket is closed, and settles then.
	c.wmu.Lock()
	c.failed = true
	busy := c.writing
	c.wmu.Unlock()
	if !busy {
		c.settle()
	}
}

// settle fails what is pending. A request whose last byte was not accepted by the
// kernel cannot have been decoded by anyone, so it was never executed.
func (c *conn) settle() {
	c.wmu.Lock()
	written := c.written
	c.wmu.Unlock()
	c.mu.Lock()
	why := c.err
	left := make([]*call, 0, len(c.pending))
	for seq := range c.pending {
		left = append(left, c.takeLocked(seq))
	}
	c.mu.Unlock()
	for _, cl := range left {
		if cl.end > written {
			cl.finish(Never, fmt.Errorf("%w: %w", errNotWritten, why))
		} else {
			cl.finish(Maybe, why)
		}
	}
	c.owner.connDead(c, why)
}

// wait returns when the connection is dead and its goroutines have ended.
func (c *conn) wait() {
	<-c.dead
	c.done.Wait()
}

// close closes a retired connection that has nothing left to do.
func (c *conn) close(last bool) {
	if last {
		c.fail(errRetired)
	}
}

// closeNow closes without a farewell: tls.Conn.Close would wait for a peer that
// does not read.
func closeNow(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		t.NetConn().Close()
	}
	nc.Close()
}

// gone tells whether the connection is dead.
func (c *conn) gone() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}
