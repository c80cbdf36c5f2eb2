package resolver

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// Order returns eps in an order in which to try them (RFC 2782): by priority, and within
// one priority drawn by weight, without replacement. It does not change eps. A nil rnd
// means the global source. rnd is not safe for concurrent use.
//
// The RFC's text has a bias that its errata report: it draws from 0 to the sum of weights
// inclusive, one number too many, so that weights {1, 1} share 2:1. Here the share of a
// record is exactly its weight divided by the sum.
//
// Weight 0 means "a very small chance of being selected" beside positive weights. All
// records of weight 0 of a priority together weigh min(1, sum/99). That is at most 1 % of
// the choices, or what the RFC's draw gives them if that is less. When all weights are 0,
// all records have the same chance.
func Order(eps []Endpoint, rnd *rand.Rand) []Endpoint {
	exp := rand.ExpFloat64
	if rnd != nil {
		exp = rnd.ExpFloat64
	}
	out := slices.Clone(eps)
	slices.SortStableFunc(out, func(a, b Endpoint) int { return cmp.Compare(a.Priority, b.Priority) })

	// Drawing without replacement by weight is a race of exponential clocks: the
	// record whose clock of rate w rings first is chosen with probability w/sum,
	// and so on for the rest. It is one sort instead of n draws over n records.
	rings := make([]ring, 0, len(out))
	for tier := out; len(tier) > 0; tier = tier[len(rings):] {
		rings = rings[:0]
		var sum, zeros float64
		for _, ep := range tier {
			if ep.Priority != tier[0].Priority {
				break
			}
			rings = append(rings, ring{ep: ep})
			sum += float64(ep.Weight)
			if ep.Weight == 0 {
				zeros++
			}
		}
		zero := 1.0
		if sum > 0 {
			zero = min(1, sum/99) / zeros
		}
		for i := range rings {
			w := float64(rings[i].ep.Weight)
			if w == 0 {
				w = zero
			}
			rings[i].at = exp() / w
		}
		slices.SortFunc(rings, func(a, b ring) int { return cmp.Compare(a.at, b.at) })
		for i := range rings {
			tier[i] = rings[i].ep
		}
	}
	return out
}

// ring is the time at which the clock of an endpoint rings.
type ring struct {
	at float64
	ep Endpoint
}
