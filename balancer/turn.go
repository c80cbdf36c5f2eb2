package balancer

// turn is the wheel that round robin turns by one step at each pick. While its counter
// is narrow, the order of picks is exact, whoever makes them.
//
// When it is wide, nobody can tell in which order two cores picked within a few
// nanoseconds, and each stripe goes on in exact turns: whatever law holds for the number
// of picks that a node gets from one counter holds for each, and the bounds add up. Each
// change of membership, weight or health brings a new picker, which begins narrow.
type turn struct {
	start uint64 // where the wheel stands before the first step
	step  uint64 // of 2^64
	stripes
}

// begin sets up t, with the number of picks in a whole turn.
func (t *turn) begin(start, step, whole uint64) {
	t.start, t.step = start, step
	t.stripes.begin()
	for i, s := range t.all {
		// At the same pace, all stripes together make one turn when each has made its part.
		s.count.Store(uint64(i) * whole / uint64(len(t.all)))
	}
}

// next makes a step and returns where the wheel stands.
func (t *turn) next() uint64 {
	_, n := t.add()
	return t.start + (n+1)*t.step
}

// try is next, unless another goroutine comes between. It is small enough to be inlined,
// which saves one nanosecond of six.
func (t *turn) try() (at uint64, ok bool) {
	s := t.own()
	n := s.count.Load()
	return t.start + (n+1)*t.step, s.count.CompareAndSwap(n, n+1)
}

// again is next after try has failed.
func (t *turn) again() uint64 {
	t.fail()
	return t.next()
}
