// Package rpcclient calls net/rpc services by their DNS SRV name.
//
//	client, err := rpcclient.New("_math._tcp.svc", nil)
//	...
//	var product int
//	err = client.Call(ctx, "Arith.Multiply", &Args{7, 8}, &product)
//
// A [Client] follows the name through package resolver, spreads calls through
// package balancer, keeps a few connections to each node, and tries again on
// another node what surely was not executed. It speaks the wire of net/rpc,
// byte for byte: servers of the standard library serve it unchanged.
//
// [Dial] gives a client with the methods of an rpc.Client, for programs that have
// one.
//
// # What a failure means
//
// Every failed call is an [*Error], which lists each try: node, phase, time, cause.
// It says whether a server has executed the call:
//
//   - Never: there was no node or no connection; the request could not be encoded;
//     the connection was lost before the last byte of the request was handed to the
//     kernel, and half a request cannot be decoded (of a codec other than gob that is
//     not known: there it is the first byte); the server said that it drains
//     and which request was its last. Such a call is tried again at once on another
//     node, whatever the method, without end but the call's time (and sixteen
//     tries); only an argument that cannot be encoded is not, for it is the same
//     everywhere.
//   - Maybe: the request was sent, and the connection was lost or time ran out. It
//     is tried again only if the method is declared idempotent ([Method]), at most
//     Config.Retries times, out of a budget that retries and hedges share. A request
//     that ends the process of its server ends the next one's, too, when it is tried
//     again: a panic in a method of a net/rpc server does (rpcserver survives it).
//   - Yes: a server answered, with its error (rpc.ServerError, in the words of
//     net/rpc) or with a reply that does not fit. It is never tried again. That
//     goes for a method the server does not know, too: net/rpc tells it from the
//     method's own errors by the text alone.
//
// A try avoids the nodes that failed before in the same call.
//
// # Time
//
// A call lasts no longer than its context or, without a deadline, Config.Timeout.
// A try of an idempotent call gets half of that. What is given up leaves nothing
// behind, and a late reply touches nothing: a reply is decoded into the caller's
// value only while the caller still waits. The server is not told; net/rpc has no
// way to. A call encodes its argument and decodes its reply in methods of the
// caller's types, if they have any (GobEncode and so on): these are not
// interrupted, and had better not call the same client. One that takes long to encode
// makes its own call late, and no other.
//
// The error of a call that is late is a context.DeadlineExceeded and names the limit:
// Config.Timeout, Config.AttemptTimeout, the context. It has no numbers, so that logs
// can be grouped; [Attempt] has them.
//
// # Connections
//
// Each node has one goroutine that dials, so that calls never do. After a loss or a
// failure it pauses, longer each time, up to five seconds; docs/storms.md has the rule
// and what it means for many clients. A connection begins with a ping, is pinged when
// it was silent, and is closed when a ping is not answered. A server other than
// rpcserver may work on one request after the other, and then answers no ping before
// the calls in flight: these keep their time, and only new calls go elsewhere. A node
// without connections is told to the balancer and is a hint to the resolver to look
// again. A server of package rpcserver that shuts down says so on the connection: no
// call is lost then, idempotent or not.
//
// Connections are kept to the nodes that the policy may pick, which with
// balancer.Subset are not all, in the tier that is in use; to two nodes of the next
// tier, once each; and to at most Config.Conn.MaxNodes of one tier. When less than half of
// a tier is up, the next is connected to as a whole. What is not needed any more is
// let go after a minute. Addresses of one endpoint are tried as RFC 8305 has it.
//
// Where net/rpc's client fails a whole connection, only the call at fault fails: an
// argument that cannot be encoded, a reply that does not fit, a panic in a method
// of the caller's types. A write that blocks holds up no call beyond its own
// deadline. Requests that queue behind each other leave in one write.
//
// # Believing
//
// DNS says which nodes there are, and pings say which work. When they differ:
//
//   - Nobody answers (time-outs, SERVFAIL, REFUSED): nodes that work are used without
//     limit.
//   - An answer takes away at most half of the nodes: it is believed at once. A node
//     taken away finishes what is in flight. It gets new calls only while no listed
//     node is usable.
//   - An answer takes away more than half at once, or all: a registry that was started
//     without its memory says the same. The nodes taken away that work go on being
//     used as before for Config.Linger, 30 s by default, which is longer than servers
//     take to register again.
//   - A node that said that it drains, or that does not work, goes at once; so do all
//     when the service is decidedly not offered (target ".").
//
// A Source of one's own that knows better sets State.Trust: what is Confirmed is
// believed at once, whatever it takes away.
//
// With Config.Conn.TLS, DNS does not choose whose certificate is accepted, either: docs/security.md.
//
// # Code of the user
//
// Hooks of Config.Trace that are the client's, and the Logger, are called in order, one
// at a time and without locks, in a goroutine of their own. They, Dial and Source may
// call the client and may close it; Close waits for them for a second at most. A Policy
// is called under a lock and must not call the client. A panic in one of them is
// logged, and counts as a failed dial, as an end of the Source, or as P2C for a Policy.
//
// # Hedging
//
// For an idempotent method, Method.Hedge is the share of calls that may be sent to a
// second node while the first is out, say 0.02: the slowest 2 % of calls, measured
// all along, get a second chance, and the first answer counts. Never more than the
// share of the calls so far are sent twice, whatever becomes slow.
//
// # Hooks
//
// A hook or interceptor that panics in a [Client.Call] panics in its caller, and nothing
// is left of the call; in a [Client.Go] the panic is the call's error. They may use the
// client, but Close and Shutdown, called within them, wait for what called them.
//
// # Looking inside
//
// [Client.Stats] has the counts, [Client.ServeHTTP] a page (or JSON, ?format=json)
// that shows why each node is used or not, [Trace] hooks into single calls or all,
// [Interceptor] wraps them.
package rpcclient
