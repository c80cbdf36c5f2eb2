package conn

import (
	"cmp"
	"io"
	"net"
	"net/rpc"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// Config says how the connections of a Set behave.
type Config struct {
	PingInterval time.Duration // of silence before a ping; 0: no pings
	PingTimeout  time.Duration // for its answer
	WriteTimeout time.Duration // for a write that makes no progress
	MaxReply     int           // encoded size; for gob only
	MaxQueue     int           // bytes encoded and not yet written; 0: 1 MiB
	// Codec makes the codec of a connection; nil: gob.
	Codec func(io.ReadWriteCloser) rpc.ClientCodec
}

// defaultQueue is enough for a batch of requests, and small enough for the buffers to
// be kept.
const defaultQueue = 1 << 20

// A Set is the connections of one client. They share a clock, and what is known of
// the types of arguments and replies.
type Set struct {
	Config
	epoch   time.Time
	types   rpcwire.Types
	running sync.WaitGroup // the goroutines of all connections
}

// NewSet makes a Set without connections.
func NewSet(cfg Config) *Set {
	cfg.MaxQueue = cmp.Or(cfg.MaxQueue, defaultQueue)
	return &Set{Config: cfg, epoch: time.Now()}
}

// Now is the clock of the Set: the time since it was made, short to compare and to
// store.
func (s *Set) Now() time.Duration { return time.Since(s.epoch) }

// newWire makes the codec of one connection.
func (s *Set) newWire(stream *connStream) wire {
	if s.Codec == nil {
		return &gobWire{rpcwire.NewResponseReader(stream, s.MaxReply, &s.types), rpcwire.NewWriter(&s.types)}
	}
	return &codecWire{codec: s.Codec(stream), stream: stream}
}

// Owner is told once that a connection takes no more requests, and once that it has
// ended and every request has its result. The two calls may overlap. With each answer to
// a ping it is told whether the server takes calls at present. All calls are made without
// locks, and must not wait.
type Owner interface {
	Retired(c *Conn, why error)
	Dead(c *Conn, why error)
	Serving(c *Conn, yes bool)
}

// Start begins to use nc. It panics if Config.Conn.Codec does.
func (s *Set) Start(nc net.Conn, owner Owner) *Conn {
	c := &Conn{
		Set: s, owner: owner, nc: nc,
		pending: make(map[uint64]*Request),
		dead:    make(chan struct{}),
	}
	c.lastRead.Store(int64(c.Now()))
	c.wake = make(chan struct{}, 1)
	c.room = make(chan struct{}, 1)
	c.turn.free = make(chan struct{}, 1)
	c.wire = s.newWire((*connStream)(c))
	if t := tcpOf(nc); t != nil {
		setUserTimeout(t, userTimeout)
	}
	c.raw = newRawWriter(nc)
	c.timer = time.AfterFunc(time.Hour, c.onTimer)
	c.mu.Lock()
	c.timer.Stop()
	if c.PingInterval > 0 {
		c.armLocked(c.Now() + c.PingInterval)
	}
	c.mu.Unlock()
	c.begin(c.readLoop)
	c.begin(c.writeLoop)
	return c
}

// begin starts a goroutine of the connection.
func (c *Conn) begin(loop func()) {
	c.running.Add(1)
	c.done.Go(func() {
		defer c.running.Done()
		loop()
	})
}

// Wait returns when the goroutines of all connections have ended. An owner forgets a
// connection that is dead, but its reader may still be closing the codec. No connection
// may be started meanwhile.
func (s *Set) Wait() { s.running.Wait() }

// Tests: conn_test.go.
