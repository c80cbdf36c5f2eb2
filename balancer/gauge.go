package balancer

import "sync"

// gauge counts the calls in flight of a group: those that began, and those that are done.
type gauge struct {
	once sync.Once
	stripes
}

// begin makes g ready, for the first who reads it.
func (g *gauge) begin() { g.once.Do(g.stripes.begin) }

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
