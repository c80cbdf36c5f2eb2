package conn

import (
	"fmt"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// A Conn is one connection to a server, with many requests in flight.
type Conn struct {
	*Set
	owner Owner
	nc    net.Conn
	wire  wire
	raw   *rawWriter // writes that cannot block; nil: the writer writes everything

	load       atomic.Int32 // requests in pending, and those on their way there
	lastRead   atomic.Int64 // when a byte was last read, on the Set's clock
	reading    atomic.Bool  // the reader waits for bytes
	readerGone atomic.Bool
	prompt     atomic.Bool             // the server answers pings at once, however busy it is
	misfit     atomic.Bool             // a value has cost the connection
	heard      atomic.Pointer[[4]byte] // the first few bytes from the server
	knows      atomic.Uint32           // rpcwire.Knows, from the answers to pings
	cancelling atomic.Bool             // there is something in cancels

	encodeState

	mu         sync.Mutex // guards what follows
	life       life       // changed by moveAndUnlock only
	retiredFor error      // why it takes no more requests
	endedFor   error      // why the connection has ended
	writeState
	pending   map[uint64]*Request
	refused   [2]reflect.Type // of the argument and the reply of the last answer with an error
	deadlines deadlines       // of pending
	timer     *time.Timer     // fires at armed
	armed     time.Duration   // the earliest deadline; 0: none
	ping      *Request        // the ping in flight
	cancels   []uint64        // requests that were given up, for sendCancels
	away      bool            // the answer to the last ping said that the server takes no calls
	doubtAt   time.Duration   // doubtService causes a ping from then on

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
		if p := recover(); p != nil { // the net.Conn may be a type of the user's Dial
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

// lastSign is when the server last gave a sign of life. While the reader is decoding,
// which may run methods of the caller's types, that is now.
func (c *Conn) lastSign(now time.Duration) time.Duration {
	if !c.reading.Load() {
		return now
	}
	return time.Duration(c.lastRead.Load())
}

// slowEncoding is how long a request is encoded before it counts as holding up others.
// Encoding takes a microsecond, except for arguments of megabytes and for methods of
// the caller's types.
const slowEncoding = time.Millisecond

// Weight says how much a request on this connection has to wait for others. A request
// that is being encoded for long weighs more than all that are in flight.
func (c *Conn) Weight() int32 {
	w := c.load.Load()
	if c.turn.taken.Load() && c.Now()-time.Duration(c.encodes.Load()) > slowEncoding {
		w += 1 << 20
	}
	return w
}

// Misfit tells whether the connection has ended, or ends, because of a value that did not
// fit. The server works then. If a server ends it, that is a guess: its last error was the
// answer to a request with interface values, which a server that cannot decode or encode
// them answers before it ends the connection.
func (c *Conn) Misfit() bool {
	if c.misfit.Load() {
		return true
	}
	c.mu.Lock()
	refused := c.refused
	c.mu.Unlock()
	return gobvalue.HoldsInterface(refused[0]) || gobvalue.HoldsInterface(refused[1])
}

// unfit retires the connection because of a value.
func (c *Conn) unfit(why error) {
	c.misfit.Store(true)
	c.Retire(why)
}
