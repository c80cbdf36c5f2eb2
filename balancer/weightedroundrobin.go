package balancer

import (
	"math"
	"math/bits"
)

// WeightedRoundRobin takes the nodes in turn, each as often as its weight says, and
// spreads the turns of each node evenly. Let W be the sum of the weights after division
// by their common divisor. Then W first tries in a row hold each node exactly as often as
// its weight, and between two turns of a node of weight w there are fewer than 3W/w
// picks, mostly fewer than 2W/w. Any other number of picks holds each node's share of
// them, plus or minus fewer than 4 if W is in the hundreds, and some 7 if it is in the
// hundred thousands. For weight 0 see Shares. Picks with nodes to skip are drawn by
// weight and leave the turn alone (see RoundRobin).
//
// A pick costs one atomic instruction and one look-up, for any number of nodes and any
// weights. The tables have one entry for each node, not for each unit of weight.
func WeightedRoundRobin(nodes []*Node) Picker {
	switch len(nodes) {
	case 0:
		return none{}
	case 1:
		return single{nodes[0]}
	}
	ws, sum := weights(nodes)
	w := &weightedRoundRobin{nodes: nodes, sum: sum}
	step := uint64(0)
	if s := stride(sum); s > 0 {
		// Rounded up, so that a whole turn is never a little less than one.
		step, _ = bits.Div64(s, 0, sum)
		step++
	}
	w.turn.begin(somewhere(nodes[0].g.draw(), sum), step)
	if even(ws) {
		return w // the arcs are equally long: no table is needed
	}
	w.ends = make([]uint64, len(ws))
	var end uint64
	for i, x := range ws {
		end += x
		w.ends[i] = end
	}
	w.guide = newGuide(w.ends)
	return w
}

// weightedRoundRobin divides a wheel of circumference sum among the nodes, in arcs as
// long as their weights, and turns it by stride(sum) at each pick. The stride has no
// divisor in common with sum, so that sum picks hit each unit of arc once. It is close to
// the golden section, whose multiples are spread most evenly over the wheel: the times
// between two visits to the same arc have at most three values (the three-gap theorem),
// and the longest is about twice the mean.
//
// The wheel is the range of a uint64: turning it is an addition that wraps.
type weightedRoundRobin struct {
	nodes []*Node
	sum   uint64
	ends  []uint64 // where the arc of each node ends; nil: they are equally long
	guide []uint32
	turn  turn // by stride/sum
}

func (w *weightedRoundRobin) Pick(want Want) *Node {
	if len(want.Skip) > 0 {
		return w.other(want)
	}
	return w.nodes[w.at(w.turn.next())]
}

// other draws by weight among the nodes that the call does not skip.
func (w *weightedRoundRobin) other(want Want) *Node {
	g := w.nodes[0].g
	for range 8 {
		if n := w.nodes[w.at(g.draw())]; !want.skips(n) {
			return n
		}
	}
	return next(w.nodes, int(scale(g.draw(), uint64(len(w.nodes)))), want)
}

// at is the index of the node whose arc holds the place on the wheel.
func (w *weightedRoundRobin) at(fraction uint64) int {
	if w.ends == nil {
		return int(scale(fraction, uint64(len(w.nodes))))
	}
	x := scale(fraction, w.sum)
	b := scale(fraction, uint64(len(w.guide)-1))
	lo, hi := int(w.guide[b]), int(w.guide[b+1])
	for hi-lo > 4 {
		if mid := int(uint(lo+hi) >> 1); w.ends[mid] <= x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for w.ends[lo] <= x {
		lo++
	}
	return lo
}

// newGuide cuts the wheel into twice as many slots as there are arcs. An entry is the arc
// in which the slot begins; the last entry is the last arc. Most slots lie in one arc or
// two.
func newGuide(ends []uint64) []uint32 {
	slots := uint64(2 * len(ends))
	sum := ends[len(ends)-1]
	guide := make([]uint32, slots+1)
	arc := 0
	for b := range slots {
		hi, lo := bits.Mul64(b, sum)
		x, _ := bits.Div64(hi, lo, slots)
		for ends[arc] <= x {
			arc++
		}
		guide[b] = uint32(arc)
	}
	guide[slots] = uint32(len(ends) - 1)
	return guide
}

// golden is 2^64 times the golden section.
const golden = 0x9e3779b97f4a7c15

// stride returns a number below sum and prime to it whose multiples are spread evenly
// modulo sum: the best one near sum times the golden section. For sum 1 it is 0.
func stride(sum uint64) (best uint64) {
	const (
		tries = 256
		good  = 2.2 // a better one hardly ever exists
	)
	mid := scale(golden, sum)
	least := math.Inf(1)
	for d := range min(sum, tries) {
		s := mid + d/2
		if d&1 == 1 {
			s = mid - d/2 - 1
		}
		if s == 0 || s >= sum {
			continue
		}
		if wait, ok := longest(s, sum, least); ok {
			if best, least = s, wait; wait <= good {
				break
			}
		}
	}
	return best
}

// longest returns how long an arc waits at worst for its next visit, in relation to its
// mean wait, when a wheel of circumference sum turns by s. It fails when that is more
// than most, or s and sum have a common divisor.
//
// Consider the numbers of steps after which the wheel is closer to its start than ever
// before, from either side: after q1 steps it is d1 ahead, after q2 steps it is d2 short
// of it. An arc that is not longer than d1+d2 is visited again after q1, q2, or q1+q2
// steps. As in Euclid's algorithm, the greater distance minus the smaller one is the next
// such distance.
func longest(s, sum uint64, most float64) (wait float64, ok bool) {
	q1, d1, q2, d2 := uint64(1), s, uint64(1), sum-s
	for d1 > 0 && d2 > 0 {
		wait = max(wait, float64(q1+q2)*float64(d1+d2-1)/float64(sum))
		if wait > most {
			return 0, false
		}
		if d1 > d2 {
			q1, d1 = q1+q2, d1-d2
		} else {
			q2, d2 = q1+q2, d2-d1
		}
	}
	return wait, d1+d2 == 1
}
