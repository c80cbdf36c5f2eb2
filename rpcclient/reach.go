package rpcclient

import (
	"cmp"
	"hash/maphash"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// reach decides which nodes the client connects to: in the best tier all nodes that the
// policy may pick, in the next tier a few, until more are needed.
type reach struct {
	policy balancer.Policy
	spill  float64 // Health.Spill; 0: a tier is enough while half of it is up
	conns  int     // to each node
	most   int     // nodes of one tier at most
	seed   maphash.Seed
}

const (
	// standby is how many nodes of the next tier are connected to, once each, so that
	// the first calls after a failure need not wait for a dial.
	standby = 2
	// releaseAfter is how long connections are kept that are no longer needed, because
	// a tier that failed once may fail again.
	releaseAfter = time.Minute
	// maxDialling bounds the dials at one time: an answer with thousands of endpoints
	// must not look like an attack to the network.
	maxDialling = 64
)

// member is a node as reach sees it.
type member struct {
	node     *node
	balanced *balancer.Node
	priority uint16
	kept     bool // the Source no longer lists it
	up       bool
	dead     bool // it was dialled, and is not up
	shut     bool // it says that it takes no calls at present, or said so less than releaseAfter ago
}

func (m *member) addr() string { return m.balanced.Endpoint().Addr }

// useless tells that another node has to take the calls of this one.
func (m *member) useless() bool { return m.dead || m.shut }

// want is how many connections a node should have, and why it is not reach.conns.
type want struct {
	conns int
	why   string
}

const (
	whyKept    = "no longer announced, and kept while it works"
	whySubset  = "not in the subset of nodes to connect to"
	whyStandby = "one connection, in reserve"
	whyReserve = "not connected, in reserve"
)

// plan gives each member its want. Members are in order of priority.
func (r *reach) plan(members []member) []want {
	out := make([]want, len(members))
	better := 0 // of the tiers so far: 0: they are not enough, 1: they are, 2: they have a reserve, too
	for begin := 0; begin < len(members); {
		end := begin
		var tier []int // the listed members
		for ; end < len(members) && members[end].priority == members[begin].priority; end++ {
			if members[end].kept {
				out[end] = want{keep, whyKept}
			} else {
				tier = append(tier, end)
			}
		}
		begin = end
		switch {
		case len(tier) == 0:
		case better == 0:
			if r.all(members, tier, out) {
				better = 1
			}
		case better == 1:
			r.few(members, tier, out)
			better = 2
		default:
			for _, i := range tier {
				out[i] = want{0, whyReserve}
			}
		}
	}
	return out
}

// all connects to the nodes of this tier that the policy may pick, and tells whether that
// is enough. A dead node has a substitute while it is dialled, and so has one that does not
// serve, to which the client stays connected to learn when it does. A substitute that does
// not serve is let go at once and has another one, so that substitutes do not make it more
// than twice as many connections. Besides, those of nodes that are not chosen any more are
// kept for releaseAfter, and those of nodes that are not announced any more for Linger.
func (r *reach) all(members []member, tier []int, out []want) (enough bool) {
	alive := slices.DeleteFunc(slices.Clone(tier), func(i int) bool { return members[i].useless() })
	chosen := r.chosen(members, tier)
	for _, i := range tier {
		out[i] = want{0, whySubset}
	}
	usable := 0
	for _, i := range slices.Concat(chosen, r.chosen(members, alive)) {
		if out[i].conns == 0 && !members[i].useless() {
			usable++
		}
		out[i] = want{conns: r.conns}
	}
	factor := r.spill
	if factor == 0 {
		factor = 2
	}
	return float64(usable)*factor >= float64(len(chosen))
}

// few connects to some nodes of this tier, first to those that are up.
func (r *reach) few(members []member, tier []int, out []want) {
	for _, i := range tier {
		out[i] = want{0, whyReserve}
	}
	order := func(i int) int {
		switch m := members[i]; {
		case m.up && !m.shut:
			return 0
		case !m.useless():
			return 1
		}
		return 2
	}
	chosen := r.chosen(members, tier)
	slices.SortStableFunc(chosen, func(a, b int) int { return cmp.Compare(order(a), order(b)) })
	for _, i := range chosen[:min(standby, len(chosen))] {
		out[i] = want{1, whyStandby}
	}
}

// chosen returns the members of a tier that the policy may pick, at most r.most.
func (r *reach) chosen(members []member, tier []int) []int {
	at := make(map[*balancer.Node]int, len(tier))
	nodes := make([]*balancer.Node, len(tier))
	for i, m := range tier {
		nodes[i] = members[m].balanced
		at[nodes[i]] = m
	}
	out := make([]int, 0, len(tier))
	for _, b := range balancer.Chosen(r.policy, nodes) {
		out = append(out, at[b])
	}
	if len(out) > r.most {
		// A client keeps its nodes as long as they are there; other clients get others.
		rank := make(map[int]uint64, len(out))
		for _, i := range out {
			rank[i] = maphash.String(r.seed, members[i].addr())
		}
		slices.SortFunc(out, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
		out = out[:r.most]
		slices.Sort(out)
	}
	return out
}
