package rpcserver

import (
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// maxQueued is how much may wait behind a write under way before those who
	// answer wait too: a client that does not read must not fill the memory.
	maxQueued = 256 << 10
	// maxKept is the largest buffer that a connection keeps for good, and maxBusy
	// until it has made calmWrites writes in a row that needed less (a ping is one).
	// Larger ones go to a pool that all connections share, and above maxPooled to
	// the garbage collector.
	maxKept    = 16 << 10
	maxBusy    = 128 << 10
	maxPooled  = 4 << 20
	calmWrites = 16
)

// output joins responses: whoever finds no write under way writes what is there,
// and whatever others queue meanwhile; those others need not wait.
type output struct {
	nc      net.Conn
	timeout time.Duration
	busy    func() bool // calls are in flight
	pool    *sync.Pool  // of *[]byte, for buffers above maxKept

	mu      sync.Mutex // guards all below, and the wire's encoder
	room    sync.Cond  // buf was taken, or the end came
	buf     []byte     // encoded, not yet written
	spare   []byte     // the other buffer
	writing bool       // somebody is in flush
	calm    int        // writes since one above maxKept
	err     error      // no more writing: the cause

	deadline time.Time // of nc, owned by the writer
	writes   uint64    // calls of Write
	bytes    uint64
}

func newOutput(nc net.Conn, timeout time.Duration, pool *sync.Pool, busy func() bool) *output {
	o := &output{nc: nc, timeout: timeout, pool: pool, busy: busy}
	o.room.L = &o.mu
	return o
}

// Write queues; it is for encoders, which hold mu.
func (o *output) Write(p []byte) (int, error) {
	if size := len(o.buf) + len(p); size > cap(o.buf) && size > maxKept {
		o.grow(size)
	}
	o.buf = append(o.buf, p...)
	return len(p), nil
}

// grow makes room for size bytes in a buffer that others have used.
func (o *output) grow(size int) {
	var large []byte
	if b, ok := o.pool.Get().(*[]byte); ok && cap(*b) >= size {
		large = *b
	} else {
		large = make([]byte, 0, max(2*size, maxBusy))
	}
	small := o.buf
	o.buf = append(large[:0], small...)
	if o.spare == nil && cap(small) <= maxKept {
		o.spare = small[:0]
	}
}

// lock waits until there is room, and locks. It fails when the connection is over.
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

// unlock releases, and writes unless somebody does already.
func (o *output) unlock() {
	if o.writing || len(o.buf) == 0 {
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
		if len(b) > maxQueued {
			o.room.Broadcast()
		}
		o.mu.Unlock()

		err := o.write(b)

		o.mu.Lock()
		if err != nil && o.err == nil {
			o.err = err
		}
		o.writes++
		o.bytes += uint64(len(b))
		if o.calm++; len(b) > maxKept {
			o.calm = 0
		}
		if cap(b) <= o.keeps() {
			o.spare = b[:0]
		} else {
			o.giveBack(b)
		}
		if o.err != nil || len(o.buf) == 0 {
			if cap(o.buf) > o.keeps() {
				o.giveBack(o.buf)
				o.buf = nil
			}
			o.writing = false
			o.room.Broadcast()
			o.mu.Unlock()
			return
		}
	}
}

// keeps is how large a buffer may stay with the connection.
func (o *output) keeps() int {
	if o.calm < calmWrites && o.err == nil {
		return maxBusy
	}
	return maxKept
}

func (o *output) giveBack(b []byte) {
	if cap(b) <= maxPooled {
		b = b[:0]
		o.pool.Put(&b)
	}
}

// write writes all of b, or fails within the timeout: one that cannot be finished
// leaves half a response, after which nothing can follow.
func (o *output) write(b []byte) error {
	if o.timeout > 0 {
		// Setting a deadline costs as much as a small write; renewing it each half of
		// the timeout keeps it between a half and the whole.
		if now := time.Now(); o.deadline.Sub(now) < o.timeout/2 {
			o.deadline = now.Add(o.timeout)
			o.nc.SetWriteDeadline(o.deadline)
		}
	}
	_, err := o.nc.Write(b)
	if err != nil {
		o.nc.Close() // the reader has to know
	}
	return err
}

// flushed waits until what is queued has been written, or cannot be.
func (o *output) flushed() {
	o.mu.Lock()
	for o.writing {
		o.room.Wait()
	}
	o.mu.Unlock()
}

// fail ends all waiting.
func (o *output) fail(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
	}
	o.room.Broadcast()
	o.mu.Unlock()
}
