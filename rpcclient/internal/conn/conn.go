package conn

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is one connection to a server, with many requests in flight.
type Conn struct {
	*Set
	owner Owner
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
	life       life       // changed by moveAndUnlock alone
	retiredFor error      // why no new calls
	endedFor   error      // why the connection has ended
	writeState
	pending   map[uint64]*Request
	deadlines deadlines     // of pending
	timer     *time.Timer   // fires at armed
	armed     time.Duration // the earliest deadline; 0: none
	ping      *Request      // the ping in flight

	dead chan struct{}  // closed when it has ended
	done sync.WaitGroup // reader and writer
}

// connStream is the connection as a codec sees it: reads are noted, writes are
// collected, and closing is the connection's business.
type connStream Conn

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
		s.lastRead.Store(int64(s.Now()))
	}
	return n, err
}

func (s *connStream) read(p []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil { // Config.Conn.Dial's own type may do anything
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
func (c *Conn) lastSign(now time.Duration) time.Duration {
	if !c.reading.Load() {
		return now
	}
	return time.Duration(c.lastRead.Load())
}

// slowEncoding is when whoever encodes holds up the others: it takes a microsecond, but
// for arguments of megabytes, and for methods of the caller's types.
const slowEncoding = time.Millisecond

// Weight says how much a call on this connection has to wait for others: what is in
// flight, and first of all who encodes for long.
func (c *Conn) Weight() int32 {
	w := c.load.Load()
	if c.turn.taken.Load() && c.Now()-time.Duration(c.encodes.Load()) > slowEncoding {
		w += 1 << 20
	}
	return w
}
