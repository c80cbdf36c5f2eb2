// Package balancer picks, for each call, one of the nodes that offer a service: by
// policy, priority and health. It knows nothing about connections and can be used
// alone, for HTTP, SQL or gRPC pools; package rpcclient builds on it.
//
//	g := balancer.NewGroup(balancer.Config{})
//	defer g.Close()
//	g.Update(endpoints)               // whenever they change
//
//	p, err := g.Pick(balancer.Hint{}) // for each call
//	err = call(p.Node().Endpoint().Addr)
//	p.Done(outcome(err))              // exactly once
//
// A Node measures (calls in flight, latency, failures), a Picker chooses, and a Group
// keeps both together: at each change of membership or health it has the Policy build
// a new Picker from the usable nodes. Picks take no lock and allocate nothing.
//
// # Policies
//
//	name                  func                what it takes                          weights  slow start
//	p2c                   P2C (the default)   the less loaded of two drawn nodes     yes      yes
//	round_robin           RoundRobin          the next                               no       no
//	weighted_round_robin  WeightedRoundRobin  the next, evenly spread by weight      yes      yes
//	random                Random              any                                    no       no
//	weighted_random       WeightedRandom      any, by weight                         yes      yes
//	least_conn            LeastConn           the one with fewest calls in flight    yes      yes
//	hash                  Hash(bound)         the one for Hint.Key, within a bound   yes      no
//	                      Subset(n, self, p)  as p, from n nodes of this client      as p     as p
//	                      Zone(zone, of, p)   as p, from the nodes of this zone      as p     as p
//
// ByName finds the named ones. One's own is a function from nodes to a Picker; Shares
// gives it the weights as the others see them. SIMULATION.md shows what each does when
// nodes are slow, fail, freeze or are replaced.
//
// # Weights and priorities
//
// Both mean what RFC 2782 says. Weight 0 beside positive weights is a very small share,
// and the bias in the RFC's algorithm, which its errata report, is left out: see Shares.
//
// The nodes of one priority are a tier. "A client MUST attempt to contact the target
// host with the lowest-numbered priority it can reach": the next tier gets calls only
// when no node of the better one is usable, or when a call has tried them all
// (Hint.Skip). Health.Spill makes that gradual for those who want it.
//
// # Health
//
// Failures in a row eject a node for a time; then it is half open, and one call decides
// whether it comes back. Down, for a dead connection or a failed dial, ejects at once.
// Who comes back or is new starts slowly. Failures also count in a node's cost, so that
// P2C never likes a node for failing fast.
//
// When failures would eject more than half of a tier, they are ignored, unless all of it
// is out and a node of another tier is well: then the calls go there. When nothing is
// usable, the least bad is used: Pick fails only when there is no node at all. Down is
// not ignored while another node can be reached, for it is a fact and not a verdict.
//
// A Budget keeps retries and hedges a small share of the calls.
//
// # Time
//
// Reading a clock costs as much as a pick. A node that is picked more than a thousand
// times a second has only some of its calls timed, at least one of 8.
package balancer
