// Package resolver finds the endpoints of a DNS SRV name and keeps them up to date.
//
// Most programs need one function. [Resolver.Watch] yields what is known about a
// name, and then each newer state, until its context ends:
//
//	var r resolver.Resolver
//	for state := range r.Watch(ctx, "_math._tcp.svc") {
//		group.Update(state.Endpoints)
//	}
//
// [Resolver.Lookup] answers once, from the cache while that is fresh. [Static]
// is a [Source] for tests and for addresses that never change. [Order] sorts
// endpoints into the order in which RFC 2782 wants them tried.
//
// # Names
//
// Names are absolute, with or without the final dot: "_math._tcp.svc" is
// "_math._tcp.svc.". The search list of the system is not applied: a name must not
// mean another service on another machine.
//
// # Asking
//
// A Resolver asks [Resolver.Servers]; without these, the servers that ROLLCALL_DNS in
// the environment names; without these, those of resolv.conf(5), with its options; and
// without these, the local host.
//
// Servers are asked over UDP with EDNS 1232 (RFC 6891). They are asked over TCP when the
// answer is truncated, malformed or larger than asked for (RFC 7766), when UDP is
// refused, and in addition to UDP when that is silent for half of Timeout; after that,
// TCP comes first for a minute. With [Resolver.TCP] and [Resolver.TLS] nothing else is
// used. A part of a truncated answer is never used. Query ids come from crypto/rand. A
// packet without the id and the question is ignored, and the wait for the true answer
// goes on (RFC 5452). If a server times out, refuses, fails or gives a lame answer, the
// next one is asked. The server that answered is asked first from then on.
//
// Addresses are taken from the additional section, so that one query brings N
// endpoints. For a target without addresses there, A and AAAA are asked for, with bounds
// on their number and on those at a time. A silent server or target does not hold up the
// rest: the second family is waited for 50 ms (RFC 8305), and a target among others half
// of Timeout. A silent target is asked for again after a pause that grows, and keeps the
// addresses that it had before.
//
// A target with several addresses is one endpoint: Addr is the one that RFC 6724
// prefers, the others are Alt. Addr stays the same while the target has it. One answer
// brings at most [Resolver.MaxEndpoints].
//
// # Following
//
// A name with a Watch is followed, unless [Resolver.NoPush] is set: the server that answered
// is asked to tell about changes, over one session of DNS Stateful Operations (RFC 8490) for
// all names of the Resolver. dnsd tells a change as it happens, with the addresses of the
// targets and the revision. While it does, the name is not asked for.
//
//   - A server that answers that it does not know such sessions costs one TCP connection an
//     hour. So does one that never answers, after a dozen in its first hour. The TTL rules
//     then. If the zone names a server of DNS push (RFC 8765 section 6.1), that is tried over
//     TLS: see [Resolver.PushTLS]. It must be a dnsd: a Resolver sends FOLLOW, dnsd's own
//     request, and never SUBSCRIBE. Any other server is left alone for an hour.
//   - When a session ends, its names are asked for within a second, at random moments, and
//     then by their TTL. The next session is with a server that answers, after a random
//     pause of half a second to one and a half, which doubles up to a minute while no
//     session lasts, and up to an hour if the server has never had one.
//   - A server that cannot learn of changes says so, and the TTL rules until it can. The TTL
//     rules also when a set comes in several messages and the rest of them is more than ten
//     seconds late, until it is there.
//   - After a minute without a message the server is asked for a sign of life. If it is
//     silent for five seconds then, the session ends.
//   - A hint asks by DNS here, too. If the server answers otherwise than it tells, the session
//     ends within seconds. If it does not answer, it is asked for a sign of life at once.
//   - A set that was told is applied at once, also while a question is under way.
//   - At most 20,000 messages and 4 MB a second are read in a session, after a burst of 64 MB,
//     so that a server that sends without end does not take a whole processor.
//
// [Resolver.Freshness] tells by what a name is kept fresh. Why no server tells about it is in
// the lines of level Debug of [Resolver.Logger].
//
// # Believing
//
//   - A change that was told within a session is believed at once, also if it takes away
//     all endpoints. The first set of a session is believed as an answer is. A set of an
//     older revision than one that was told before is believed after five seconds, when
//     the server cannot be one that only lags.
//   - When a session is lost, an answer from a cache that may be older than the last change
//     that was told is not believed, for a TTL at most.
//   - An answer is asked for again after a random 80 to 100 % of its TTL (the
//     smallest in it), clamped to MinTTL and MaxTTL.
//   - After a hint ([Resolver.Refresh]) it is asked for again five times within a
//     second, at random moments. Each hint that finds nothing new counts less than the
//     one before.
//   - A negative answer lives as long as its SOA says (RFC 2308 section 5), clamped
//     likewise. If it comes again and again, it lives for at least up to five seconds.
//   - After a failure it is asked for again after a random pause that doubles from
//     MinTTL up to 1.8 TTLs, with less and less effort: a server that is down gets about
//     as many packets from a client as one that is well, a tenth more.
//   - When no server answers, the last endpoints stay for StaleFor past their expiry,
//     and State.Err says why (RFC 8767).
//   - An answer that takes away more than half of the set is confirmed, by a second
//     server or by a second query a second later, before the endpoints are dropped.
//     Wrong NXDOMAINs have caused outages, while a second costs nothing, since dead
//     endpoints are found by dialling them. Even then State.Trust is Shrunk, because a
//     registry that was started without its memory answers in the same way.
//   - An answer that the server marks as stale (RFC 8914: it cannot learn of changes) is used
//     only if no other server has a better one. While all are stale, the others are asked once
//     in a TTL. A name that a session tells while it is stale is asked for within a second, and
//     is followed at a server that is not stale. With one server, the TTL rules.
//   - An empty answer without SOA from a server without authority (RFC 2308) means
//     nothing: the next server is asked, and the set is never emptied.
//   - A record that cannot be used (port 0, a target that is no host name, broken
//     RDATA) is left out alone. The other records are used.
//   - The target "." means that the service is decidedly not offered (RFC 2782):
//     [ErrNotOffered].
//
// # Sharing
//
// All Watches of one name on one Resolver share one refresh loop, which starts
// with the first and has ended when the last returns. Concurrent Lookups share
// one query. All names that one server tells about share one session with it, which ends with
// the last Watch that uses it. Nothing else runs in the background, so there is no Close.
//
// Resolvers share nothing with each other. So a process should have one, unless it asks
// different servers or wants other settings.
package resolver
