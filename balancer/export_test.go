package balancer

// Counted is the number of calls in flight as the group counts them for Hash.
func (g *Group) Counted() int64 { return g.inFlight.Load() }
