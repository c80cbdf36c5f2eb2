package balancer

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

const (
	// The lowest inFlightBits of Node.word hold the calls in flight, the others the number
	// of picks, so that one atomic addition counts both. 4 million calls in flight to one
	// node are more than it has ports. The picks wrap after 4e12.
	inFlightBits = 22
	inFlightMask = 1<<inFlightBits - 1
	onePick      = 1<<inFlightBits + 1

	// Reading the clock costs 30 to 50 ns in a virtual machine, twice a call: more than
	// the pick itself. So a busy node, which has a pick in less than dense, is timed once
	// in maxSample+1 picks. While picks are further apart than sparse, each is timed.
	maxSample = 7
	dense     = int64(time.Millisecond)
	sparse    = 4 * int64(time.Millisecond)

	// fullRamp is the ramp at the end of the slow start. It is also what one unit of SRV
	// weight is in Node.Weight, so that weight 1 can be ramped, too.
	fullRamp = 256
)

// Node is the live state of one endpoint: its calls in flight, how long calls take, how
// many fail, and whether it is in good standing. It lives as long as its address is
// announced, through every update. All methods may be called at any time by any
// goroutine, even after the node is gone.
type Node struct {
	// A cache line: calls write it, and pickers read it in the nodes that they compare.
	word    atomic.Uint64 // picks and calls in flight
	cost    atomic.Uint32 // float32 bits, nanoseconds; 0: not known yet
	fails   atomic.Int32  // consecutive failures
	sample  atomic.Uint32 // a pick is timed if its number & sample == 0
	claim   atomic.Uint32 // the epoch whose half-open probe is under way; 0: none
	poor    atomic.Bool   // not in good standing: its failures need not be counted again
	epoch   atomic.Uint32 // raised by oneEpoch when a probe is due and when the node comes back
	timed   atomic.Int64  // when a pick was last timed
	settled atomic.Uint64 // at this number of picks it had its share of those of its tier
	_       [16]byte

	meter meter // another cache line: timed calls write it
	_     [8]byte

	g     *Group
	hash  uint64 // of the address
	value any
	ep    atomic.Pointer[resolver.Endpoint]
	ramp  atomic.Uint32 // slow start, in 1/fullRamp

	standing // guarded by g.mu

	fault fault
	away  away     // guarded by g.mu
	_     [24]byte // makes it 320 bytes, which are allocated at a cache line
}

// Endpoint returns the endpoint as last announced.
func (n *Node) Endpoint() resolver.Endpoint { return *n.ep.Load() }

// Value returns what Config.New attached.
func (n *Node) Value() any { return n.value }

// InFlight returns the number of picks not yet done.
func (n *Node) InFlight() int { return int(n.word.Load() & inFlightMask) }

// Picks returns how often the node was picked.
func (n *Node) Picks() uint64 { return n.word.Load() >> inFlightBits }

// Cost returns what a call to the node is expected to cost: its latency, which rises
// fast and falls slowly, plus a penalty for the share of calls that fail. Zero means that
// nothing was measured yet.
func (n *Node) Cost() time.Duration { return time.Duration(math.Float32frombits(n.cost.Load())) }

// Weight returns the announced weight times the ramp of the slow start, in 1/256 of a
// unit of SRV weight. For the meaning of weight 0 see Shares.
func (n *Node) Weight() uint32 { return uint32(n.announced()) * n.ramp.Load() }

func (n *Node) announced() uint16 { return n.ep.Load().Weight }

// take counts one pick and decides whether to time it.
func (n *Node) take(g *Group) (start int64) {
	w := n.word.Add(onePick)
	if uint32(w>>inFlightBits)&n.sample.Load() == 0 {
		start = g.now()
		n.timedAt(start)
	}
	return start
}

// timedAt adapts the sampling to the rate of picks. When the rate falls, at most
// maxSample picks go untimed.
func (n *Node) timedAt(now int64) {
	since := now - n.timed.Load()
	n.timed.Store(now)
	switch s := n.sample.Load(); {
	case since > sparse && s != 0:
		n.sample.Store(0)
	case since < dense && s != maxSample:
		n.sample.Store(s<<1 | 1)
	}
}
