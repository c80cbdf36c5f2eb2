package balancer

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// stripes is a counter that many goroutines advance. At first it is narrow: one word.
//
// When cores do little but count, the cache line of that word goes from one to the other
// all the time, and to advance it costs five times as much as on one core. Then the
// counter becomes wide: goroutines are divided among words on lines of their own.
//
// A wide counter stays wide, since nothing tells cheaply that the rush is over.
type stripes struct {
	all    []*stripe
	shift  uint8         // leaves as many bits of a hash as it takes to number all
	factor atomic.Uint64 // by which goroutines are hashed; 0: narrow
	moves  atomic.Uint32 // how often factor has changed

	_     [64]byte // a cache line: above is read each time, below is written
	first stripe   // the first of all, and the only one in use while narrow
}

// stripe is a part of a counter.
type stripe struct {
	count atomic.Uint64
	done  atomic.Uint64 // for a gauge: how much of count is over
	debt  atomic.Uint64 // the count by which the failures so far are made up for
	_     [40]byte      // the rest of a cache line
}

const (
	// forgiving is how many additions make up for a failed one, which it is when another
	// core came between reading the word and writing it. Of two cores that do nothing
	// else, 3 to 40 of 100 fail, as the cores are near or far; when each adds once in
	// 400 ns, 1 or 2 of 100, and there is hardly anything left to gain; once in 800 ns,
	// 4 of 1,000.
	forgiving = 128
	// patience is how much debt it takes to divide the goroutines anew: 64 failures
	// close together, so that many goroutines woken at once do not do it.
	patience = 64 * forgiving
	// With so many for each core, two goroutines begin on different ones in seven of
	// eight cases on a machine of two cores; where they do not, they move.
	stripesPerCore = 4
	// maxStripes bounds what a counter takes: 4 KiB.
	maxStripes = 64
)

// begin makes s ready, now, so that nothing is to be allocated when it becomes wide.
func (s *stripes) begin() {
	width := bits.Len(uint(min(stripesPerCore*runtime.GOMAXPROCS(0), maxStripes) - 1))
	s.shift = uint8(64 - width)
	s.all = make([]*stripe, 1<<width)
	s.all[0] = &s.first
	more := make([]stripe, 1<<width-1)
	for i := range more {
		s.all[i+1] = &more[i]
	}
}

// own is the stripe of this goroutine. What is cheap to know, different for each that
// runs, and mostly the same for a while, is where its stack is; the smallest has 2 KiB.
func (s *stripes) own() *stripe {
	factor := s.factor.Load()
	if factor == 0 {
		return &s.first
	}
	var here byte
	return s.all[uint64(uintptr(unsafe.Pointer(&here)))>>11*factor>>(s.shift&63)]
}

// add counts one on a stripe, and returns it and what it had counted before.
func (s *stripes) add() (own *stripe, n uint64) {
	for {
		own = s.own()
		n = own.count.Load()
		if own.count.CompareAndSwap(n, n+1) {
			return own, n
		}
		s.fail()
	}
}

// fail notes that an addition failed, and has the goroutines divided anew when many do.
// Lost updates do no harm.
func (s *stripes) fail() {
	factor := s.factor.Load()
	own := s.own()
	n := own.count.Load()
	debt := max(own.debt.Load(), n) + forgiving
	// Where there are more busy goroutines than stripes, no factor helps for long: each
	// is given twice the time.
	if debt-n > patience<<min(s.moves.Load(), 32) {
		s.move(factor)
		debt = n
	}
	own.debt.Store(debt)
}

// move divides the goroutines anew, unless another did since factor was read.
func (s *stripes) move(factor uint64) {
	if s.factor.CompareAndSwap(factor, mix(factor+golden)|1) {
		s.moves.Add(1)
	}
}
