package balancer

import "math/bits"

// Shares returns the share of the calls that each of nodes should get: in proportion to
// the announced weights (RFC 2782) and, while a node is warming, to its ramp. The shares
// add up to 1. It is for custom policies.
//
// Weight 0 means "a very small chance of being selected" beside positive weights (RFC
// 2782, Weight). The algorithm in the RFC's text draws from 0 to the sum inclusive, one
// number too many, so that {1, 1} would share 2:1 and {0, 1, 1} in thirds. The errata of
// the RFC report that. Here positive weights share exactly in proportion. All nodes of
// weight 0 together get the smaller of 1 % and 1/(sum+1), which is what the RFC's draw
// gives them. When all weights are 0, all shares are equal.
func Shares(nodes []*Node) []float64 {
	ws, sum := weights(nodes)
	out := make([]float64, len(ws))
	for i, w := range ws {
		out[i] = float64(w) / float64(sum)
	}
	return out
}

// weights returns the shares as integers without a common divisor, and their sum.
func weights(nodes []*Node) (ws []uint64, sum uint64) {
	var total, zeros uint64
	for _, n := range nodes {
		if w := n.announced(); w > 0 {
			total += uint64(w)
		} else {
			zeros++
		}
	}
	// Positive weights are multiplied by scale, and each weight 0 counts as zero, such that
	// these together get 1 % of the sum, or 1/(total+1) of it if that is less.
	scale, zero := uint64(1), uint64(1)
	switch {
	case total == 0 || zeros == 0:
	case total >= 99:
		scale = zeros
	default:
		scale, zero = 99*zeros, total
	}
	ws = make([]uint64, len(nodes))
	var div uint64
	for i, n := range nodes {
		w := zero
		if a := n.announced(); a > 0 {
			w = uint64(a) * scale
		}
		w *= uint64(n.ramp.Load())
		ws[i] = w
		div = gcd(div, w)
	}
	for i := range ws {
		ws[i] /= max(div, 1)
		sum += ws[i]
	}
	return ws, sum
}

// even reports whether all weights are the same.
func even(ws []uint64) bool {
	for _, w := range ws {
		if w != ws[0] {
			return false
		}
	}
	return true
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// scale maps a random or rotating 64-bit fraction to 0..n-1.
func scale(fraction, n uint64) uint64 {
	hi, _ := bits.Mul64(fraction, n)
	return hi
}

// unit maps 64 random bits to [0, 1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }
