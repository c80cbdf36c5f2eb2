package balancer

// alias draws an index in proportion to weights in O(1), by Vose's form of Walker's
// alias method: at most two indexes share a slot.
type alias []aliasSlot

type aliasSlot struct {
	cut   uint32 // of 2^32: a draw below it is the slot's own index, else other
	other uint32
}

func newAlias(ws []uint64, sum uint64) alias {
	n := len(ws)
	a := make(alias, n)
	left := make([]float64, n) // what is left of each weight, in slots
	var small, large []uint32
	for i, w := range ws {
		left[i] = float64(w) / float64(sum) * float64(n)
		if left[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a[s] = aliasSlot{cut: uint32(left[s] * (1 << 32)), other: l}
		if left[l] -= 1 - left[s]; left[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// Each of the rest is 1, except for rounding.
	for _, i := range append(small, large...) {
		a[i] = aliasSlot{cut: 1<<32 - 1, other: i}
	}
	return a
}

// draw maps 64 random bits to an index.
func (a alias) draw(r uint64) int {
	i := int((r >> 32) * uint64(len(a)) >> 32)
	if s := a[i]; uint32(r) >= s.cut {
		return int(s.other)
	}
	return i
}

// Tests: shares_test.go.
