package rpcserver

import "sync"

// maxPooled is the largest buffer that is kept for others to use; above it they go
// to the garbage collector.
const maxPooled = 4 << 20

// buffers are large ones, which all connections share: a connection needs one for
// a moment, and thousands of connections are open.
type buffers struct{ pool sync.Pool } // of *[]byte

// take gives an empty buffer with room for size bytes.
func (p *buffers) take(size int) []byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= size {
		return *b
	}
	return make([]byte, 0, max(size+size/8, maxBusy))
}

// give takes a buffer back.
func (p *buffers) give(b []byte) {
	if cap(b) > maxKept && cap(b) <= maxPooled {
		b = b[:0]
		p.pool.Put(&b)
	}
}
