// Package resolver keeps the endpoints behind a DNS SRV name up to date.
//
// Most users want one function. [Resolver.Watch] yields what is known about a
// name, then whatever is newer, until its context ends:
//
//	var r resolver.Resolver
//	for state := range r.Watch(ctx, "_math._tcp.svc") {
//		group.Update(state.Endpoints)
//	}
//
// [Resolver.Lookup] answers once, from the cache while that is fresh. [Static]
// is a [Source] for tests and for addresses that never change. [Order] puts
// endpoints in the order in which RFC 2782 wants them tried.
//
// # Names
//
// Names are absolute, with or without the final dot: "_math._tcp.svc" is
// "_math._tcp.svc.". The search list of the system is not applied: which
// service is meant must not depend on the machine that asks.
//
// # Asking
//
// Whom to ask: [Resolver.Servers], else ROLLCALL_DNS in the environment, else
// resolv.conf(5) with its options, else the local host.
//
// Servers are asked over UDP with EDNS 1232 (RFC 6891), and over TCP when the
// answer is truncated, malformed or larger than asked for (RFC 7766), when UDP is
// refused, and beside UDP when that is silent for half of Timeout; then, for a
// minute, over TCP first. [Resolver.TCP] and [Resolver.TLS] want nothing else. A
// part of a truncated answer is never used. Query ids come from crypto/rand; a
// packet that does not carry the id and the question is ignored, and the wait for
// the true one goes on (RFC 5452). A server that times out, refuses, fails or
// answers lamely is left for the next, and the one that answered is asked first
// from then on.
//
// Addresses are taken from the additional section, so that one query brings N
// endpoints. A target without them is asked for, A and AAAA, bounded in number
// and in concurrency. Nobody waits for what is silent while the rest is there: 50
// ms for the second family (RFC 8305), half of Timeout for a target among others. It
// is asked for again after a pause that grows; what it had answered before stays.
//
// A target with several addresses is one endpoint: the one that RFC 6724 prefers is
// Addr, the others are Alt. Addr stays while the target has it. One answer brings at
// most [Resolver.MaxEndpoints].
//
// # Believing
//
//   - An answer is asked for again after a random 80 to 100 % of its TTL (the
//     smallest in it), clamped to MinTTL and MaxTTL.
//   - After a hint ([Resolver.Refresh]) it is asked for again five times within a
//     second, at random moments; hints that find nothing new count ever less.
//   - A negative answer lives as long as its SOA says (RFC 2308 section 5),
//     clamped likewise; if it is given again and again, up to five seconds at least.
//   - After a failure it is asked for again after a pause that doubles from MinTTL,
//     at random, up to two TTLs, with less and less effort: no server hears more of
//     a client while it is down than while it is well.
//   - When nobody answers, the last endpoints stay for StaleFor past their
//     expiry, and State.Err says why (RFC 8767).
//   - An answer that takes away more than half of the set is confirmed, by a second
//     server or by a second try a second later, before the endpoints are dropped.
//     Wrong NXDOMAINs have caused outages; a second costs nothing, as dead
//     endpoints are found by dialling them. Even then State.Trust is Shrunk, for a
//     registry started without its memory speaks so, too.
//   - An empty answer without SOA by a server without authority (RFC 2308) says
//     nothing: the next server is asked, and it never empties a set.
//   - A record that cannot be used (port 0, a target that is no host name, broken
//     RDATA) is left out alone and never spoils its neighbours.
//   - The target "." says that the service is decidedly not offered (RFC 2782):
//     [ErrNotOffered].
//
// # Sharing
//
// All Watches of one name on one Resolver share one refresh loop, which starts
// with the first and has ended when the last returns. Concurrent Lookups share
// one query. Nothing else runs in the background, so there is no Close.
package resolver
