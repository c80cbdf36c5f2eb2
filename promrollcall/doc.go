// Package promrollcall has Prometheus collectors for the clients, resolvers and servers
// of a program:
//
//	prometheus.MustRegister(
//		promrollcall.Client("orders", client),
//		promrollcall.Server("api", server),
//	)
//
// Each collector has a label with the name that it was given: client, resolver, server or
// limit. Two collectors of one kind in one registry need different names; Register refuses
// the second one otherwise. docs/metrics-go.md has all metrics.
//
// # Series
//
// The number of time series of a collector is bounded. At most 100 nodes of a client, or
// methods of a server, have series of their own. All others are added up in the series
// with an empty label. The services of a resolver are those that the program names.
//
// The numbers are read when Prometheus asks for them. Nothing is counted a second time, so
// a call costs the same with and without this package. [CallTimes] is the exception: it
// measures the calls of the clients that have its Interceptor, and no others. A collector
// keeps its client, resolver or server in memory until it is unregistered.
//
// The packages for clients and servers do not import this one: a program without
// Prometheus does not get it.
package promrollcall
