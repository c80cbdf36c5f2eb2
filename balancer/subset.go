package balancer

import "slices"

// Subset lets a client use only n of the nodes, and leaves the choice among them to
// p: with thousands of clients and nodes, not everybody needs a connection to
// everybody. self names the client. The subset depends on self and on the addresses
// alone, so that it survives a restart, and when a node goes that is in it, one other
// takes its place.
//
// Clients whose names end in a number, as "web-17", deal the nodes out among
// themselves: of clients 0 to k of the same stem, for any k below 256, each node has
// as many as every other, or one more. (Beyond that, this holds for each further 256
// of them.) For that, a few clients change a node when one goes that they did not
// use. Any other name is a place in the dark, and the load even on average.
func Subset(n int, self string, p Policy) Policy {
	stem, number := ordinal(self)
	return func(nodes []*Node) Picker {
		if n <= 0 || len(nodes) <= n {
			return p(nodes)
		}
		mine := deal(nodes, n, stem, number)
		return &subset{Picker: p(mine), nodes: mine}
	}
}

// block is how many clients deal out the nodes among themselves. It bounds what a new
// picker costs: the hands of all clients before it in the block.
const block = 256

type subset struct {
	Picker
	nodes []*Node
}

func (s *subset) gauged() bool { return gauged(s.Picker) }

func (s *subset) expect(part float64, out map[*Node]float64) { expect(s.Picker, s.nodes, part, out) }

// ordinal splits the number off the end of a client's name.
func ordinal(self string) (stem uint64, number uint64) {
	i := len(self)
	for i > 0 && self[i-1] >= '0' && self[i-1] <= '9' && len(self)-i < 9 {
		i--
	}
	if i == len(self) {
		return hashKey(self), 0
	}
	for _, c := range self[i:] {
		number = number*10 + uint64(c-'0')
	}
	return hashKey(self[:i]), number
}

// deal plays all hands of the block up to client number's and returns that one. Each
// client takes the n nodes that are highest in its own order (rendezvous hashing)
// among those that the fewest clients before it have taken.
func deal(nodes []*Node, n int, stem, number uint64) []*Node {
	first := number / block * block
	ahead := make([]bool, len(nodes)) // taken once more than the others
	low := len(nodes)                 // those that are not
	hand := make([]scored, 0, n)
	for client := first; ; client++ {
		seed := mix(stem + client*0x9e3779b97f4a7c15)
		hand = hand[:0]
		if low <= n {
			// All that are behind, whatever the order; then everybody is level.
			for i := range nodes {
				if !ahead[i] {
					hand = append(hand, scored{at: i})
				}
			}
		}
		level := low <= n
		rest := len(hand)
		hand = top(hand, nodes, n, seed, func(i int) bool { return ahead[i] == level })
		if client == number {
			break
		}
		if level {
			clear(ahead)
			low = len(nodes)
			for _, s := range hand[rest:] {
				ahead[s.at] = true
				low--
			}
			continue
		}
		for _, s := range hand {
			ahead[s.at] = true
			low--
		}
	}
	out := make([]*Node, len(hand))
	slices.SortFunc(hand, func(a, b scored) int { return a.at - b.at })
	for i, s := range hand {
		out[i] = nodes[s.at]
	}
	return out
}

type scored struct {
	score uint64
	at    int
}

// top fills hand up to n with the eligible nodes of the highest score, in no order.
func top(hand []scored, nodes []*Node, n int, seed uint64, eligible func(int) bool) []scored {
	from := len(hand)
	for i, node := range nodes {
		if !eligible(i) {
			continue
		}
		s := scored{mix(node.hash ^ seed), i}
		if len(hand) < n {
			hand = append(hand, s)
			up(hand[from:])
		} else if n > from && s.score > hand[from].score {
			hand[from] = s
			down(hand[from:])
		}
	}
	return hand
}

// up and down keep h a heap with the lowest score first.
func up(h []scored) {
	for i := len(h) - 1; i > 0 && h[i].score < h[(i-1)/2].score; i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
}

func down(h []scored) {
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].score < h[c].score {
			c++
		}
		if h[i].score <= h[c].score {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
