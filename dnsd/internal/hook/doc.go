// Package hook is the HTTP side of dnsd: where instances register and keep their
// leases, where operators drain, and where everybody may watch.
//
//	s, err := hook.Listen(hook.Config{Registry: r})
//	...
//	err = s.Run(ctx)
//
// JSON in UTF-8, with the types of package register. The requests:
//
//	PUT    /v1/services/{service}/instances/{id}        register, renew, change, recover: 201 new, 200 otherwise
//	GET    /v1/services/{service}/instances/{id}        one instance
//	DELETE /v1/services/{service}/instances/{id}        deregister: 204 (?incarnation=N: 409 for an old one)
//	PUT    /v1/services/{service}/instances/{id}/drain  out of the answers while the lease lives; DELETE ends it.
//	                                                    ?sticky=1: also when it comes back after it was gone
//	DELETE /v1/services/{service}/instances/{id}/fence  forgets the last incarnation, after a clock that was ahead
//	POST   /v1/services/{service}/instances/{id}/hold   a held registration, see below
//	POST   /v1/renew                                    many renewals; answers those unknown, those replaced
//	GET    /v1/services                                 everything, by service
//	GET    /v1/services/{service}                       one service
//	DELETE /v1/services/{service}/guard                 the guard lets the service's suspects go: 204
//	DELETE /v1/guard                                    those of all services
//	GET    /v1/watch?service=&since=ID                  what changes, see below
//	GET    /healthz /readyz /metrics /                  alive; ready, able to store changes; Prometheus; the console
//
// Whoever reads services sees ETag, Rollcall-Revision and Rollcall-Life;
// If-None-Match is answered with 304 until the next revision. (Deadlines move without
// one.) A revision is a number of one life of the registry: after a restart, or
// after a store was put back, the same number may be of another content. So tags and
// the ids of events have both, LIFE-REVISION.
//
// # Refusals
//
// Every refusal is a register.Problem (RFC 9457): its detail says what to do, its
// field which part of the request is at fault. The JSON is read strictly: a
// field that is unknown, given twice, null or of another type is an error, as is
// anything after the object. What net/http refuses before it knows a request
// (a broken request line, a header above 16 KiB) is plain text.
//
//	400  a field, the JSON, or a query parameter is wrong; nothing changed
//	401  no token, or one not known here            403  this token may not do that
//	404  no such instance, service or path          405  not this method, see Allow
//	408  the body did not come in time              409  a newer incarnation lives
//	410  the history is gone: watch anew            413  the body is above 64 KiB
//	415  the body is not JSON                       421  see Who may
//	429  too many requests or instances, see Retry-After
//	503  too many streams or connections, not ready, stopping, or changes cannot be stored
//	507  the store is full
//
// Refused writes are in the audit log, but of those without a token only the first
// ten of a minute, and then how many more there were.
//
// # Watch
//
// The answer is server-sent events, one a change, with id = LIFE-REVISION:
//
//	event: put      the instance is new or changed; data is a register.Event
//	event: delete   it is gone; data has what it was
//	event: end      why the stream ends: {"reason","detail"}
//
// With since=ID, or with Last-Event-ID, which is the newer of the two, the events
// after it follow: none left out, none twice. 410 means that the history does not
// reach back to it, or that it is of another life, as is a revision alone: read
// again. Without them the stream begins with the present:
//
//	event: snapshot  an instance that is there, in any number; without an id
//	event: sync      that was all; its id is where to go on
//
// A reader that breaks off before sync has no id and begins anew. What changed
// while the present was being sent may be told twice, by snapshot and by put; a
// delete may be of an instance that was not in it.
//
// An event is encoded once for all watchers. A silent stream has a comment every
// 15 seconds. A reader that falls behind by more events than the registry queues
// is cut with the reason "slow", and may come again with its last id.
//
// # Hold
//
// A hold is a POST whose answer stays open: a comment at once, an event
// "registered" with the instance, then a comment at each renewal, and an event
// "changed" when an operator has drained the instance or ended that, or when the guard
// holds it back as a suspect. When the
// connection breaks, the registry probes the instance and removes it if it
// refuses: that is milliseconds after a kill -9. Otherwise an event "end" comes
// first, and the lease runs on:
//
//	replaced    a newer incarnation registered      gone      deregistered or expired
//	superseded  another hold of it took over        revoked   the token is no longer good
//	again       it has lasted 5 minutes             shutdown  dnsd stops
//
// What renews is the client's choice. With ?heartbeat=1 it sends octets in the
// body of its request, which does not end, one at each renew_after (package
// register does): each is a renewal, and nothing else is. They prove that the
// process works. One that is stopped (SIGSTOP, a debugger, a frozen container)
// sends none and leaves DNS with its lease, though its kernel keeps the connection;
// the guard's reprieve for small services is not for it, since its host acknowledges
// (on Linux): the silence is not the network's.
//
// Without it, with the body of the PUT or none, the hook renews every third of the
// lease as long as the connection is open: curl -N -X POST .../hold. That proves
// that the peer's kernel lives and, on Linux, that it acknowledges what is sent; a
// stopped process is found by "again" only.
//
// What is probed when a connection breaks is the host that it came from: of a hold
// for another host, which takes a token with AnyHost, the lease runs. So nobody
// learns from here which ports of others are open.
//
// # Who may
//
// On loopback without tokens: everybody who can connect, but no web page of
// another origin, and no name that only pretends to be this host (421). Off
// loopback Listen asks for tokens or client certificates, unless Insecure.
//
// With tokens: Authorization: Bearer (RFC 6750) for /v1 and /metrics, whatever
// the address. A token has verbs (admin includes write, write includes read) for
// services. Whole lists and metrics need read for "*". With a client CA every
// connection needs a certificate of it; without tokens its bearer may do
// everything, and with tokens what the token says. What is asked for now is asked of
// every request, over whatever connection it comes: one of before an Update does not
// keep its rights.
//
// A host other than the peer's own address needs a token with AnyHost, a client
// certificate for that host, or, where neither tokens nor certificates are asked
// for, a peer on loopback: behind a proxy on this host everybody is on loopback. The
// peer is who connects: X-Forwarded-For and its like are believed by nobody, but a
// request that has one is not published at the address it came from: behind a proxy
// give host, and a token.
//
// # Who comes first
//
// Connections are bounded, and where tokens or certificates are asked for a quarter
// of them is not for strangers. At the bound a connection that nobody uses is closed
// for the new one: a stranger's of the address that has most, the oldest first.
package hook
