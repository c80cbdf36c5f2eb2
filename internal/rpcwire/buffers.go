package rpcwire

import "sync"

const (
	// SmallBuffer is what each connection keeps for reading and for writing: a burst of
	// requests in one read.
	SmallBuffer = 16 << 10
	// LargeBuffer is the size of the smallest buffer that connections share.
	LargeBuffer = 128 << 10
	// MaxPooled is the size of the largest buffer that is kept for others to use. Larger
	// ones go to the garbage collector.
	MaxPooled = 4 << 20
)

// Buffers are large buffers that all connections share: a connection needs one for
// a moment, and thousands of connections are open.
type Buffers struct{ pool sync.Pool } // of *[]byte

// Take gives an empty buffer with room for size bytes.
func (p *Buffers) Take(size int) []byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= size {
		return *b
	}
	return make([]byte, 0, max(size+size/8, LargeBuffer))
}

// Give takes a buffer back. Nothing may use it any more.
func (p *Buffers) Give(b []byte) {
	if cap(b) > SmallBuffer && cap(b) <= MaxPooled {
		b = b[:0]
		p.pool.Put(&b)
	}
}

// Tests: reader_test.go.
