package rpcclient

import (
	"fmt"
	"io"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is one connection to a node, with many calls in flight. It differs from
// rpc.Client in what happens when something goes wrong: see the package comment.
type conn struct {
	*settings
	owner connOwner
	nc    net.Conn
	wire  wire
	raw   *rawWriter // writes that cannot block; nil: the writer writes everything

	load       atomic.Int32 // calls in pending, and those that are to come there
	lastRead   atomic.Int64 // when a byte was last read, on the client's clock
	reading    atomic.Bool  // the reader waits for more
	readerGone atomic.Bool
	prompt     atomic.Bool             // the server answers pings at once, however busy it is
	heard      atomic.Pointer[[4]byte] // the first few bytes from the server

	encodeState

	mu         sync.Mutex // guards what follows
	life       life       // changed by moveLocked alone
	retiredFor error      // why no new calls
	endedFor   error      // why the connection has ended
	writeState
	pending   map[uint64]*call
	deadlines deadlines               // of pending
	late      map[uint64]reflect.Type // see giveUpLocked
	timer     *time.Timer             // fires at armed
	armed     time.Duration           // the earliest deadline; 0: none
	ping      *call                   // the ping in flight

	dead chan struct{}  // closed when it has ended
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
// is settled; the two may overlap. It is called without locks, and must not wait.
type connOwner interface {
	connRetired(c *conn, why error)
	connDead(c *conn, why error)
}

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
	c.turn.free = make(chan struct{}, 1)
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
	s.reading.Store(true)
	n, err := s.read(p)
	s.reading.Store(false)
	if n > 0 {
		if s.heard.Load() == nil {
			first := new([4]byte)
			copy(first[:], p[:n])
			s.heard.Store(first)
		}
		s.lastRead.Store(int64(s.now()))
	}
	return n, err
}

func (s *connStream) read(p []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil { // Config.Dial's own type may do anything
			n, err = 0, fmt.Errorf("panicked: %v", p)
		}
	}()
	return s.nc.Read(p)
}

func (s *connStream) Write(p []byte) (int, error) {
	s.enc = append(s.enc, p...)
	return len(p), nil
}

func (s *connStream) Close() error { return nil }

// lastSign is when the server was last heard of: now, while the reader has something
// left to decode, which may run methods of the caller's types.
func (c *conn) lastSign(now time.Duration) time.Duration {
	if !c.reading.Load() {
		return now
	}
	return time.Duration(c.lastRead.Load())
}

// slowEncoding is when whoever encodes holds up the others: it takes a microsecond, but
// for arguments of megabytes, and for methods of the caller's types.
const slowEncoding = time.Millisecond

// weight says how much a call on this connection has to wait for others: what is in
// flight, and first of all who encodes for long.
func (c *conn) weight() int32 {
	w := c.load.Load()
	if c.turn.taken.Load() && c.now()-time.Duration(c.encodes.Load()) > slowEncoding {
		w += 1 << 20
	}
	return w
}
