// Package balancer picks, for each call, one of the nodes that offer a service: by
// policy, priority and health. It knows nothing about connections and can be used
// alone, for HTTP, SQL or gRPC pools. Package rpcclient builds on it.
//
//	g := balancer.NewGroup(balancer.Config{})
//	defer g.Close()
//	g.Update(endpoints)               // whenever they change
//
//	p, err := g.Pick(balancer.Want{}) // for each call
//	err = call(p.Node().Endpoint().Addr)
//	p.Done(outcome(err))              // exactly once
//
// A Node measures calls in flight, latency and failures. A Picker chooses. A Group
// connects the two: at each change of membership or health it calls the Policy, which
// builds a new Picker from the usable nodes. Picks take no lock and allocate nothing.
//
// # Policies
//
//	name                  func                   takes                                weights  slow start
//	p2c                   P2C (the default)      the less loaded of two random nodes  yes      yes
//	round_robin           RoundRobin             the next node                        no       no
//	weighted_round_robin  WeightedRoundRobin     the next node, as often as weighted  yes      yes
//	random                Random                 any node                             no       no
//	weighted_random       WeightedRandom         any node, by weight                  yes      yes
//	least_conn            LeastConn              the one with fewest calls in flight  yes      yes
//	hash                  Hash                   the one for Want.Key, within a bound yes      no
//	                      HashWithin(bound)      the same, within another bound       yes      no
//	                      Subset(n, name, p)     as p, from n nodes of this client    as p     as p
//	                      SubsetOf(n, i, of, p)  the same, for numbered clients       as p     as p
//	                      Locality(own, of, p)   as p, from the nodes nearby          as p     as p
//
// ByName finds the policies that have a name. A custom policy is a function that builds
// a Picker from nodes; Shares gives it the weights as the built-in policies use them.
// SIMULATION.md shows what each policy does when nodes are slow, fail, freeze or are
// replaced.
//
// # Weights and priorities
//
// Weights and priorities mean what RFC 2782 says. Weight 0 beside positive weights is a
// very small share. The bias in the RFC's algorithm, which its errata report, is left
// out: see Shares.
//
// The nodes of one priority are a tier. "A client MUST attempt to contact the target
// host with the lowest-numbered priority it can reach": the next tier gets calls only
// when no node of the better one is usable, or when a call has tried all of them
// (Want.Skip). Health.Spill makes the change to the next tier gradual.
//
// # Health
//
// Failures in a row eject a node for a time. Then the node is half open: one call
// decides whether it comes back. Down, for a dead connection or a failed dial, ejects a
// node at once. A node that is new or comes back starts slowly. Failures also count in
// a node's cost, so that P2C never likes a node for failing fast.
//
// When failures would eject more than half of a tier, they are ignored, unless all of
// the tier is out and a node of another tier is well: then the calls go there. When no
// node is usable, the least bad one is used: Pick fails only when there is no node at
// all. Down is a fact and not a verdict, so it is not ignored while another node can be
// reached.
//
// A node that refuses calls is not at fault. Its cost rises, and when it asked for a time
// without calls (Pick.DoneRefused), or said that it does not serve (Node.NotServing), it
// gets none while any other node is usable, however many nodes do so: such a node protects
// itself. It comes back without a probe.
//
// A Budget keeps retries and hedges a small share of the calls.
//
// # Time
//
// Reading a clock costs as much as a pick. If a node is picked more than a thousand
// times a second, only some of its calls are timed, at least one of 8.
package balancer
