package rpcserver

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

const (
	// maxQueued is how many bytes may wait for the end of a write before answers wait,
	// too: a client that does not read must not fill the memory.
	maxQueued = 256 << 10
	// maxKept is the size of the largest buffer that a connection keeps for good. It keeps
	// one of maxBusy until calmWrites writes in a row needed less than maxKept (a ping is a
	// write). Larger buffers are shared by all connections.
	maxKept    = rpcwire.SmallBuffer
	maxBusy    = rpcwire.LargeBuffer
	calmWrites = 16
	// pieceSize is how much is written under one deadline: a client that reads slowly
	// is not one that does not read.
	pieceSize = 256 << 10
)

// output joins responses. A goroutine that finds no write under way writes its response,
// and all that others queue during the write. Those others need not wait.
type output struct {
	nc      net.Conn
	timeout time.Duration
	busy    func() bool      // calls are in flight
	pool    *rpcwire.Buffers // of buffers above maxKept

	full    atomic.Bool   // more than maxQueued bytes wait; changed with mu held
	cleared chan struct{} // a token: full has become false

	mu      sync.Mutex // guards all below, and the wire's encoder
	room    sync.Cond  // buf has room, or the connection has ended; each goroutine wakes the next
	still   sync.Cond  // no write is under way
	buf     []byte     // encoded, not yet written
	spare   []byte     // the other buffer
	writing bool       // a write is under way
	calm    int        // writes since one above maxKept
	err     error      // why nothing more is written

	deadline time.Time     // of nc, owned by the writer
	writes   atomic.Uint64 // calls of Write
	bytes    atomic.Uint64
}

func newOutput(nc net.Conn, timeout time.Duration, pool *rpcwire.Buffers, busy func() bool) *output {
	o := &output{nc: nc, timeout: timeout, pool: pool, busy: busy, cleared: make(chan struct{}, 1)}
	o.room.L, o.still.L = &o.mu, &o.mu
	return o
}

// Write queues p. It is for encoders, which hold mu.
func (o *output) Write(p []byte) (int, error) {
	o.reserveLocked(len(p))
	o.buf = append(o.buf, p...)
	return len(p), nil
}

// growLocked makes room for size bytes in a shared buffer.
func (o *output) growLocked(size int) {
	small := o.buf
	o.buf = append(o.pool.Take(size), small...)
	switch {
	case cap(small) > maxKept:
		o.pool.Give(small)
	case o.spare == nil:
		o.spare = small[:0]
	}
}

// reserveLocked makes room for so many more bytes. It is a guess: more may be appended.
func (o *output) reserveLocked(more int) {
	if size := len(o.buf) + more; size > cap(o.buf) && size > maxKept {
		o.growLocked(size)
	}
}

// lock waits until there is room, and locks. It fails when the connection has ended.
func (o *output) lock() error {
	o.mu.Lock()
	for len(o.buf) > maxQueued && o.err == nil {
		o.room.Wait()
	}
	if o.err != nil {
		o.mu.Unlock()
		return o.err
	}
	return nil
}

// unlockAndWrite unlocks, and writes unless a write is under way.
func (o *output) unlockAndWrite() {
	if o.writing || len(o.buf) == 0 {
		if len(o.buf) > maxQueued && o.err == nil {
			o.full.Store(true)
		}
		o.passRoomLocked()
		o.mu.Unlock()
		return
	}
	o.writing = true
	for {
		o.mu.Unlock()
		if o.busy() {
			runtime.Gosched() // calls that are about to answer then share the write
		}
		o.mu.Lock()
		b := o.buf
		o.buf, o.spare = o.spare[:0], nil
		o.passRoomLocked()
		o.mu.Unlock()

		err := o.write(b)

		o.mu.Lock()
		if err != nil && o.err == nil {
			o.err = err
		}
		o.writes.Add(1)
		o.bytes.Add(uint64(len(b)))
		if o.calm++; len(b) > maxKept {
			o.calm = 0
		}
		if cap(b) <= o.keepsLocked() {
			o.spare = b[:0]
		} else {
			o.pool.Give(b)
		}
		if o.err != nil || len(o.buf) == 0 {
			if cap(o.buf) > o.keepsLocked() {
				o.pool.Give(o.buf)
				o.buf = nil
			}
			o.writing = false
			o.still.Broadcast()
			o.passRoomLocked()
			o.mu.Unlock()
			return
		}
	}
}

// passRoomLocked wakes one goroutine that waits for room, if there is some: of a thousand at
// once, the first few would take it. At the end it wakes all.
func (o *output) passRoomLocked() {
	switch {
	case o.err != nil:
		o.room.Broadcast()
	case len(o.buf) <= maxQueued:
		o.room.Signal()
	default:
		return
	}
	if o.full.Load() {
		o.full.Store(false)
		signal(o.cleared)
	}
}

// clear waits until answers have room again, or halt is closed. Without it, the server
// would execute requests of a client that does not read the answers.
func (o *output) clear(halt <-chan struct{}) {
	for o.full.Load() {
		select {
		case <-o.cleared:
		case <-halt:
			return
		}
	}
}

// keepsLocked is how large a buffer the connection may keep.
func (o *output) keepsLocked() int {
	if o.calm < calmWrites && o.err == nil {
		return maxBusy
	}
	return maxKept
}

// write writes all of b, each piece within the timeout. A piece that cannot be finished
// leaves half a response, after which nothing can be written.
func (o *output) write(b []byte) error {
	for {
		piece := b[:min(len(b), pieceSize)]
		if o.timeout > 0 {
			// Setting a deadline costs as much as a small write; renewing it each half of
			// the timeout keeps it between a half and the whole.
			if now := time.Now(); o.deadline.Sub(now) < o.timeout/2 {
				o.deadline = now.Add(o.timeout)
				o.nc.SetWriteDeadline(o.deadline)
			}
		}
		if _, err := o.nc.Write(piece); err != nil {
			closeNow(o.nc) // so that the reader ends
			return err
		}
		if b = b[len(piece):]; len(b) == 0 {
			return nil
		}
	}
}

// flushed waits until all that is queued has been written, or cannot be.
func (o *output) flushed() {
	o.mu.Lock()
	for o.writing {
		o.still.Wait()
	}
	o.mu.Unlock()
}

// failed reports whether nothing more can be written.
func (o *output) failed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err != nil
}

// fail ends all waiting. It returns why nothing more is written: err, or what was before.
func (o *output) fail(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failLocked(err)
}

func (o *output) failLocked(err error) error {
	if o.err == nil {
		o.err = err
	}
	o.passRoomLocked()
	return o.err
}

// Tests: gone_test.go, stop_test.go, timeout_test.go.
