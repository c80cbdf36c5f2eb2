package balancer

import (
	"fmt"
	"math/bits"
	"slices"
)

// SubsetOf is Subset for clients that are numbered: this one is client i of the numbers
// from 0 to of-1. The nodes are dealt out among the clients like cards, so that each
// node has exactly as many clients as any other, or one more.
//
// A stateless rule that splits every pair of nodes evenly cannot also split three nodes
// evenly. So an even deal moves more than Subset does: when a node goes, each client
// that used it takes another one, and some other clients exchange one node, seldom
// more. On average over 63 random sizes (5 to 500 clients, 9 to 1200 nodes, n from 3 to
// 50 and at most a third of the nodes) that made 1.7 times as many exchanges as cannot
// be avoided, and 3.7 times at most; with 1000 nodes, 500 clients and n = 20 it made 5
// times as many.
//
// All clients must agree on the number of clients: another number deals all nodes
// again. If i is not one of the numbers, or if n times of is more than a million, so
// that chance is even enough, the client gets the Subset of the name "i/of".
func SubsetOf(n, i, of int, p Policy) Policy {
	if i < 0 || i >= of || n > 0 && of > mostDealt/n {
		return Subset(n, fmt.Sprintf("%d/%d", i, of), p)
	}
	seed := mix(hashKey("web")) // any constant would do; the figures above are of this one
	return subsets(n, p, func(nodes []*Node) []*Node { return deal(rank(nodes, seed), seed, n, of, i) })
}

// mostDealt bounds clients times n, which a deal goes through one by one: a million of
// them take 8 MB and 20 ms, or 100 ms when n is nearly the number of nodes.
const mostDealt = 1 << 20

// dealing shares out nodes among numbered clients: n nodes for each client, and for
// each node as many clients as for any other, or one more. Each client computes the
// same deal, from the addresses of the nodes alone.
//
// Each node has an order of its own among the clients, in which it offers itself to one
// client after the other until it has its share. The nodes take turns. A client accepts
// each offer until it has n nodes; a node that is refused has lost its turn. So the
// offers that were accepted early remain when a node goes: each of its clients accepts
// one more of the late offers, and the node that made it may have to leave another
// client in exchange.
//
// Of the rules tried, this one moved least. 100 clients with 10 nodes each exchange 22
// nodes when one of 93 goes and 30 when one of 100 goes, where 11 and 10 cannot be
// avoided. The number is highest when the shares have no remainder, for then no node
// had room for one more client. Half as many again move if nodes do not lose their
// turns, and a fifth more if it is fixed in advance which nodes have one more. A
// matching of the least cost moves no fewer, at a much higher price.
type dealing struct {
	nodes   []*Node    // in the order of their turns
	clients [][]uint32 // of each node
	room    []uint32   // how many nodes each client lacks
	lacking int        // the sum of room
	share   int        // clients of each node
	extra   int        // how many nodes may still have one client more
}

// deal returns the nodes of one client. It needs 0 < n < len(nodes), number < clients,
// and nodes in an order that depends on their addresses only.
func deal(nodes []*Node, seed uint64, n, clients, number int) []*Node {
	d := &dealing{
		nodes:   nodes,
		clients: make([][]uint32, len(nodes)),
		room:    slices.Repeat([]uint32{uint32(n)}, clients),
		lacking: clients * n,
		share:   clients * n / len(nodes),
		extra:   clients * n % len(nodes),
	}
	places := make([]uint32, len(nodes)*(d.share+1))
	for i := range nodes {
		d.clients[i], places = places[:0:d.share+1], places[d.share+1:]
	}
	d.offer(seed)
	d.settle()
	mine := make([]*Node, 0, n)
	for i, node := range nodes {
		if slices.Contains(d.clients[i], uint32(number)) {
			mine = append(mine, node)
		}
	}
	return mine
}

// offer lets the nodes take turns until each has its share or has offered itself to
// every client.
//
// A node's order among the clients is a walk through a prime field in steps of its own.
// The walk visits each client once and needs no memory.
func (d *dealing) offer(seed uint64) {
	clients := uint32(len(d.room))
	field := primeFrom(max(clients, 2))
	type turn struct{ node, next, step uint32 }
	turns := make([]turn, len(d.nodes))
	for i, node := range d.nodes {
		h := mix(node.hash ^ seed)
		turns[i] = turn{uint32(i), below(h, field), 1 + below(mix(h+1), field-1)}
	}
	for range clients {
		open := turns[:0]
		for _, t := range turns {
			if d.full(t.node) {
				continue
			}
			for t.next >= clients {
				t.next = (t.next + t.step) % field
			}
			if d.room[t.next] > 0 {
				d.room[t.next]--
				d.lacking--
				d.add(t.node, t.next)
			}
			t.next = (t.next + t.step) % field
			open = append(open, t)
		}
		turns = open
		if d.lacking == 0 {
			return
		}
	}
}

// settle completes the clients that still lack nodes after all offers, mostly one or
// two. Such a client already has every node that lacks clients, for each has offered
// itself. So it takes another node from one of that node's clients, which gets a lacking
// node instead. There is always such a client: the other node has more clients than the
// lacking one.
func (d *dealing) settle() {
	for c := range uint32(len(d.room)) {
		for ; d.room[c] > 0; d.room[c]-- {
			lacks, other := uint32(0), 0
			for d.full(lacks) {
				lacks++
			}
			for slices.Contains(d.clients[other], c) {
				other++
			}
			from := slices.IndexFunc(d.clients[other], func(x uint32) bool {
				return !slices.Contains(d.clients[lacks], x)
			})
			d.add(lacks, d.clients[other][from])
			d.clients[other][from] = c
		}
	}
}

func (d *dealing) full(node uint32) bool {
	n := len(d.clients[node])
	return n > d.share || n == d.share && d.extra == 0
}

func (d *dealing) add(node, client uint32) {
	if len(d.clients[node]) == d.share {
		d.extra--
	}
	d.clients[node] = append(d.clients[node], client)
}

// below maps a hash to a number from 0 to n-1.
func below(hash uint64, n uint32) uint32 {
	hi, _ := bits.Mul64(hash, uint64(n))
	return uint32(hi)
}

// primeFrom returns the first prime that is at least n, which is at least 2.
func primeFrom(n uint32) uint32 {
	for d := uint32(2); d*d <= n; d++ {
		if n%d == 0 {
			n, d = n+1, 1
		}
	}
	return n
}
