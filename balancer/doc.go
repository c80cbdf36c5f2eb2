// Package balancer picks one of the nodes that offer a service, by policy and
// health. It is usable alone, for HTTP, SQL or gRPC pools, and knows nothing about
// connections.
//
//	g := balancer.NewGroup(balancer.Config{})
//	g.Update(endpoints)                       // whenever they change
//	p, err := g.Pick(balancer.Hint{})         // for each call
//	...                                       // call p.Node().Endpoint().Addr
//	p.Done(balancer.OK)                       // exactly once
package balancer
