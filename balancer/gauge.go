package balancer

import (
	"sync"
	"sync/atomic"
)

// gauge counts the calls in flight of a group: those that began, and those that are done.
type gauge struct {
	once  sync.Once
	begun atomic.Bool // calls are to be counted
	stripes
}

// begin makes g ready for a picker that will read it, whatever that is wrapped in: the
// calls of the group are counted from the snapshot on that the picker is for.
func (g *gauge) begin() {
	g.once.Do(g.stripes.begin)
	g.begun.Store(true)
}

// inFlight sums up. Read while calls begin and end, it is off by no more than those.
func (g *gauge) inFlight() (n uint64) {
	all := g.all
	if g.factor.Load() == 0 {
		all = all[:1]
	}
	for _, s := range all {
		done := s.done.Load() // before count: nothing is done that was not counted
		n += s.count.Load() - done
	}
	return n
}
