package balancer

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// turn is the wheel that round robin turns by one step at each pick. At first it is
// narrow: one counter, and the order of picks is exact, whoever makes them.
//
// When cores do little else but pick, the line of that counter goes from one to the
// other all the time, and a pick costs five times as much as on one core. Then the
// turn becomes wide: goroutines are divided among stripes, counters on cache lines of
// their own. Nobody can tell in which order two cores picked within a few nanoseconds,
// and each stripe goes on in exact turns: whatever law holds for the number of picks
// that a node gets from one counter holds for each, and the bounds add up.
//
// A wide turn stays wide, since nothing tells cheaply that the rush is over; but each
// change of membership, weight or health brings a new picker, which begins narrow.
type turn struct {
	start uint64 // where the wheel stands before the first step
	step  uint64 // of 2^64

	stripes []*stripe
	shift   uint8         // leaves as many bits of a hash as it takes to number stripes
	factor  atomic.Uint64 // by which goroutines are hashed; 0: narrow
	moves   atomic.Uint32 // how often factor has changed

	_     [64]byte // a cache line: above is read at each pick, below is written
	first stripe   // the one of a narrow turn, and the first of stripes
}

// stripe counts picks.
type stripe struct {
	picks atomic.Uint64
	debt  atomic.Uint64 // the number of picks by which the failures so far are made up for
	_     [48]byte      // the rest of a cache line
}

const (
	// forgiving is how many picks make up for a failed one, which it is when another
	// core came between reading the counter and advancing it. Of two cores that do
	// nothing else, 3 to 40 of 100 picks fail, as the cores are near or far; when each
	// picks twice a microsecond, one of 100, and there is nothing to gain any more;
	// each two microseconds, one of 1,000.
	forgiving = 128
	// patience is how many picks of debt it takes to divide the goroutines anew: 64
	// failures close together, so that many goroutines woken at once do not do it.
	patience = 64 * forgiving
	// With so many stripes for each core, two of them begin on different ones in seven
	// of eight cases on a machine of two; where they do not, they move.
	stripesPerCore = 4
	// maxStripes bounds what a picker takes: 4 KiB.
	maxStripes = 64
)

// begin sets up t, with the number of picks in a whole turn.
func (t *turn) begin(start, step, whole uint64) {
	width := bits.Len(uint(min(stripesPerCore*runtime.GOMAXPROCS(0), maxStripes) - 1))
	t.start, t.step, t.shift = start, step, uint8(64-width)
	t.stripes = make([]*stripe, 1<<width)
	t.stripes[0] = &t.first
	more := make([]stripe, 1<<width-1) // now, so that no pick allocates
	for i := range more {
		// At the same pace, all stripes together make one turn when each has made its part.
		more[i].picks.Store(uint64(i+1) * whole >> width)
		t.stripes[i+1] = &more[i]
	}
}

// next makes a step and returns where the wheel stands.
func (t *turn) next() uint64 {
	at, ok := t.try()
	if !ok {
		at = t.again()
	}
	return at
}

// try is next, unless another goroutine comes between. It is small enough to be inlined,
// which next is not: one nanosecond of five.
func (t *turn) try() (at uint64, ok bool) {
	s := t.stripe()
	n := s.picks.Load()
	return t.start + (n+1)*t.step, s.picks.CompareAndSwap(n, n+1)
}

// again is next after try has failed.
func (t *turn) again() uint64 {
	for {
		t.fail()
		if at, ok := t.try(); ok {
			return at
		}
	}
}

// fail counts a failure, and has the goroutines divided anew when they are many. Lost
// updates do no harm.
func (t *turn) fail() {
	factor := t.factor.Load()
	s := t.stripe()
	n := s.picks.Load()
	debt := max(s.debt.Load(), n) + forgiving
	// Where there are more busy goroutines than stripes, no factor helps for long:
	// each is given twice the time.
	if debt-n > patience<<min(t.moves.Load(), 32) {
		t.move(factor)
		debt = n
	}
	s.debt.Store(debt)
}

// move divides the goroutines anew, unless another did since factor was read.
func (t *turn) move(factor uint64) {
	if t.factor.CompareAndSwap(factor, mix(factor+golden)|1) {
		t.moves.Add(1)
	}
}

// stripe is the one of this goroutine. What is cheap to know, different for each that
// runs, and mostly the same for a while, is where its stack is; the smallest has 2 KiB.
func (t *turn) stripe() *stripe {
	factor := t.factor.Load()
	if factor == 0 {
		return &t.first
	}
	var here byte
	return t.stripes[uint64(uintptr(unsafe.Pointer(&here)))>>11*factor>>(t.shift&63)]
}
