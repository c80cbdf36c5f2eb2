package balancer

import (
	"math"
	"math/bits"
)

// Hash sends calls with the same Want.Key to the same node, on all clients alike. It is
// HashWithin with the customary bound of 1.25.
func Hash(nodes []*Node) Picker { return hashWithin(nodes, 1.25) }

// HashWithin is Hash with another bound: a node takes at most bound times its share of
// the calls in flight, and what is more goes to the next node on the ring ("consistent
// hashing with bounded loads", Mirrokni, Thorup, Zadimoghaddam 2016). With a small bound
// the load is even, with a large one more keys stay in their place. math.Inf(1) is no
// bound. A bound below 1 would leave calls without a node, and counts as 1. Calls that
// start at the same instant may exceed the bound by one another, since nothing is
// locked.
//
// When a node goes, only its keys move: it is consistent hashing on a ring, on which
// each node has points in proportion to its weight. How many points a unit of weight
// has depends on the greatest weight, rounded up to a power of two. When that power
// halves or doubles, as the heaviest node goes or comes, up to half of the keys of all
// other nodes move, too, and more when it changes by more.
//
// Calls without a key go to any node within the bound. Slow start is ignored, because
// it would move keys twice.
func HashWithin(bound float64) Policy {
	if !(bound >= 1) {
		bound = 1
	}
	return func(nodes []*Node) Picker { return hashWithin(nodes, bound) }
}

func hashWithin(nodes []*Node, bound float64) Picker {
	if len(nodes) == 0 {
		return none{}
	}
	return newRing(nodes, bound)
}

// heaviest is the greatest number of points of a node. The node of the greatest weight
// has at least half as many. With so many, shares vary by a tenth, and the bound evens
// that out.
const heaviest = 128

type hashRing struct {
	g      *Group
	nodes  []*Node
	shares []float64
	bound  float64 // +Inf: none
	points []point // by place
	starts []uint32
	shift  int // of a place, to find its slot in starts
}

// point is a place of a node on the ring: it takes the keys since the point before.
type point struct {
	place uint64
	node  uint32
}

func newRing(nodes []*Node, bound float64) *hashRing {
	r := &hashRing{g: nodes[0].g, nodes: nodes, bound: bound, shares: make([]float64, len(nodes))}
	if !math.IsInf(bound, 1) {
		r.g.counting.Store(true) // before the snapshot that this picker is for
	}
	most := uint64(1)
	for _, n := range nodes {
		most = max(most, uint64(n.announced()))
	}
	// Weights count in relation to a power of two. In relation to their sum, each change
	// of one weight would move the points of all nodes.
	unit := bits.Len64(most - 1)
	counts := make([]int, len(nodes))
	total := 0
	for i, n := range nodes {
		counts[i] = int(max(uint64(n.announced())*heaviest>>unit, 1))
		if most == 1 && n.announced() == 0 && allZero(nodes) {
			counts[i] = heaviest
		}
		total += counts[i]
	}
	for i, c := range counts {
		r.shares[i] = float64(c) / float64(total)
	}
	r.place(counts, total)
	return r
}

// place puts the points on the ring. Their places are random, so a first sort by their
// upper bits leaves almost nothing to sort.
func (r *hashRing) place(counts []int, total int) {
	width := bits.Len(uint(total)) // slots: one to two for each point
	r.shift = 64 - width
	r.starts = make([]uint32, 1<<width+1)
	for i, n := range r.nodes {
		for c := range counts[i] {
			r.starts[n.point(c)>>r.shift+1]++
		}
	}
	for b := range len(r.starts) - 1 {
		r.starts[b+1] += r.starts[b]
	}
	r.points = make([]point, total)
	used := make([]uint32, len(r.starts)-1)
	for i, n := range r.nodes {
		for c := range counts[i] {
			p := point{place: n.point(c), node: uint32(i)}
			b := p.place >> r.shift
			at := r.starts[b] + used[b]
			for ; at > r.starts[b] && p.before(r.points[at-1], r.nodes); at-- {
				r.points[at] = r.points[at-1]
			}
			r.points[at] = p
			used[b]++
		}
	}
}

// point is the place of the node's i-th point. It depends only on the address.
func (n *Node) point(i int) uint64 { return mix(n.hash + uint64(i)*golden) }

func (p point) before(q point, nodes []*Node) bool {
	if p.place != q.place {
		return p.place < q.place
	}
	return nodes[p.node].hash < nodes[q.node].hash
}

func (r *hashRing) Pick(want Want) *Node {
	key := uint64(0)
	if want.Key == "" {
		key = r.g.draw()
	} else {
		key = hashKey(want.Key)
	}
	at := r.from(key)
	var fallback *Node
	load := 0.0 // what all nodes together may have in flight; 0: not computed yet
	for range r.points {
		if at >= len(r.points) {
			at = 0
		}
		i := r.points[at].node
		at++
		n := r.nodes[i]
		if want.skips(n) {
			continue
		}
		q := n.InFlight()
		if q == 0 || math.IsInf(r.bound, 1) {
			return n // each bound is at least one call
		}
		if load == 0 {
			load = r.bound * float64(r.g.inFlight.Load()+1)
		}
		if float64(q+1) <= math.Ceil(load*r.shares[i]-rounding) {
			return n
		}
		if fallback == nil {
			fallback = n
		}
	}
	return fallback // all nodes that are not skipped are full
}

// from is the index of the point that takes key; len(points) means the first point.
func (r *hashRing) from(key uint64) int {
	at := int(r.starts[key>>r.shift])
	for at < len(r.points) && r.points[at].place < key {
		at++
	}
	return at
}

func (r *hashRing) admits(n *Node, want Want) bool {
	return want.Key == "" || r.nodes[r.points[r.from(hashKey(want.Key))%len(r.points)].node] == n
}

// rounding is greater than the error of a product of floats: a bound of 11 calls came
// out as 11.000000000000002, and let in 12.
const rounding = 1e-9

func (r *hashRing) expect(part float64, out map[*Node]float64) {
	for i, n := range r.nodes {
		out[n] += part * r.shares[i]
	}
}

func allZero(nodes []*Node) bool {
	for _, n := range nodes {
		if n.announced() != 0 {
			return false
		}
	}
	return true
}

// hashKey is FNV-1a, finished by mix so that its upper bits are as good as the lower
// ones. Clients agree by it on the node of a key, so that it must not change.
func hashKey(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}
