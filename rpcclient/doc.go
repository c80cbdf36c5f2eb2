// Package rpcclient calls net/rpc services by their DNS SRV name.
//
//	client, err := rpcclient.New("_math._tcp.svc", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer client.Close()
//	var product int
//	err = client.Call(ctx, "Arith.Multiply", &Args{7, 8}, &product)
//
// A [Client] asks DNS where the service is (package resolver), spreads calls over its
// nodes (package balancer), keeps a few connections to each node, and tries a call again
// on another node if no server has executed it. It speaks net/rpc byte for byte, so
// servers of the standard library need no change. Make one Client for a service, and keep
// it. Clients of several services share what they ask DNS: see Config.Source.
//
// With [MethodOf] the compiler checks the types of a call:
//
//	var Multiply = rpcclient.MethodOf[*Args, int]("Arith.Multiply")
//	product, err := Multiply.Call(ctx, client, &Args{7, 8})
//
// [Dial] gives a client with the methods of an rpc.Client, for programs that have one:
// they change one line.
//
// # Calls and attempts
//
// A call is what the program asks for. An attempt is one request to one node. Most calls
// are one attempt. Later attempts of a call avoid the nodes on which earlier ones failed.
//
// Say which methods are idempotent, that is, do no more when executed twice than when
// executed once: in Config.Methods, with [MethodOf], or for one call with [Idempotent].
// Only these are tried again when a server may have executed them. [Method] has all that
// can be said of a method, such as its time and its retries.
//
// # What a failure means
//
// The error of a call is an [*Error]. It lists each failed attempt with node, phase, time
// and cause, and says whether a server has executed the call:
//
//   - [ExecutedNever]: there was no node or no connection, or the argument could not be
//     encoded, or the connection was lost before the last byte of the request was handed
//     to the kernel, or the server said that it drains and that this request was after
//     its last one, or a server refused it. (Half a request cannot be decoded. That is known
//     of gob only; with another codec the call may have been executed once its first byte is
//     out.) Such a call is tried again at once on another node, whatever the method, until
//     its time is over, with sixteen attempts at most. An argument that cannot be encoded is
//     not tried again, and neither is a call that all nodes have refused. While a node is
//     connected to for the first time, such a call waits for that node, as for any.
//   - [ExecutedMaybe]: the request was sent, and the connection was lost or the time ran
//     out. It is tried again only if the method is idempotent, at most Config.Retry.Max
//     times, and within a budget that retries and hedges share. A request that ends the
//     process of its server ends the next server's, too: a panic in a method of a net/rpc
//     server does that (rpcserver survives it).
//   - [ExecutedYes]: a server answered with its error (rpc.ServerError, with the text of
//     net/rpc) or with a reply that does not fit. It is not tried again, unless
//     [Method].RetryErrors names the server's error. That is so for a method that the
//     server does not know, too, because net/rpc tells this from errors of the method by
//     the text only.
//
// # Time
//
// A call ends with its context or, if that has no deadline, after [Method].Timeout or
// Config.Timeout. An attempt of an idempotent call gets half of that. The error of a call
// that is late is a context.DeadlineExceeded and names the limit: Config.Timeout,
// Config.Retry.AttemptTimeout, that of the method, or the context. It has no numbers, so
// that logs can be grouped; [Attempt] has them.
//
// A call that was given up leaves nothing in the client, and a late answer changes
// nothing: a reply is decoded into the caller's value only while the caller waits.
//
// A call runs methods of the caller's types (GobEncode and so on) to encode its argument
// and decode its reply. They are not interrupted, and should not call the same client.
// A slow one delays its own call and no other.
//
// # What a server hears
//
// An rpcserver hears more of a call than its argument. A server of net/rpc skips it, and a
// connection with Config.Conn.Codec does not carry it.
//
//   - The deadline of the caller's context, as the time that is left of the attempt. The
//     context of the method ends then. Config.Timeout alone does not travel, so that calls
//     without a deadline cost no more than those of net/rpc.
//   - That a call was given up, because its context or its time has ended or a hedge has won:
//     then the context of the method ends. (If a server falls behind with reading, it may not
//     hear of some. The client needs pings to know that a server understands it.)
//   - Metadata: [WithMeta] puts it into the caller's context, and the method finds it with
//     rpcserver.CallFrom. [Forward] passes on what has come with a request, such as a
//     traceparent. A propagator of another kind is an [Interceptor] that calls WithMeta; the
//     module otelrollcall has that of OpenTelemetry.
//
// An rpcserver may refuse a call, for example because it has too much to do. Then no server
// has executed it, and another node is tried at once, whatever the method. Further tries
// after further refusals come out of the budget of retries, and no node is asked twice, so
// that servers that all shed load get little more than two requests for each call. The
// error has a [*RefusedError]. A node that was lost, or whose first dial has failed, is not
// waited for after a refusal: else one dead node would have all refused calls wait. A node
// that has refused gets no calls for as long as it asked, a minute at most, while others
// are usable. So does a node that says in its answers to pings that it does not serve.
//
// # Hedging
//
// A hedge is a second request for a call whose first one is slow. [Method].Hedge, or
// [Hedge] for one call, is the share of calls that may have one. With 0.02 the slowest 2 %
// of the calls, measured all the time, are sent to a second node as well, and the first
// answer counts. The hedges never exceed that share of the calls so far, whatever becomes
// slow. Only idempotent calls are hedged.
//
// # Connections
//
// Each node has one goroutine that dials, so that calls do not. After a loss or a failure
// it pauses, each time longer, up to five seconds; docs/storms.md has the rule and what it
// means for many clients. A node without a connection gets no calls, and the resolver is
// asked to look again.
//
// A connection begins with a ping, is pinged when it was silent, and is closed when a ping
// is not answered. A server other than rpcserver may execute one request after the other,
// and then answers a ping only after the calls in flight: these keep their time, and only
// new calls go elsewhere. An rpcserver that shuts down says so on the connection. Then no
// call is lost, idempotent or not.
//
// Only the call at fault fails where net/rpc's client fails the whole connection: for an
// argument that cannot be encoded, a reply that does not fit, a panic in a method of the
// caller's types. ([Client.Call] names the values that cost a connection all the same; it
// is replaced at once.) A write that blocks delays no call beyond its own deadline. Requests
// that queue up leave in one write.
//
// The nodes of one priority are a tier. In the tier that is in use, the client connects
// to the nodes that the policy may pick (with balancer.Subset not all of them), at most
// Config.Conn.MaxNodes; in the next tier, to two nodes, once each. When less than half of
// a tier is up and serves, it connects to the next one as to the first. A connection that is
// no longer needed is kept for a minute. Addresses of one endpoint are tried as in RFC 8305.
//
// # Which nodes
//
// DNS says which nodes there are, and pings say which of them work. When they differ:
//
//   - No server answers the query (time-out, SERVFAIL, REFUSED): nodes that work are used
//     without limit.
//   - An answer of DNS takes away at most half of the nodes: it is believed at once. A node
//     that it takes away finishes its calls. It gets new ones only while no listed node is
//     usable.
//   - An answer of DNS takes away more than half of the nodes, or all: a registry that was
//     started without its memory gives the same answer. Nodes that work are used as
//     before for Config.Linger, 30 s by default, which is longer than servers need to
//     register again.
//   - A server that the Resolver follows tells of a change within a session: it is believed
//     at once, whatever it takes away. The first set of a session is believed as an answer is.
//   - A node that said that it drains, or that does not work, goes at once. All nodes go
//     when the service is explicitly not offered (target ".").
//
// A Source of your own that knows better sets State.Trust to Confirmed: then it is
// believed at once, whatever it takes away.
//
// With Config.Conn.TLS, DNS does not choose whose certificate is accepted: docs/security.md.
//
// # Your code in the client
//
// A function of [Trace], an [Interceptor] or a [Method].RetryErrors that panics in a
// [Client.Call] panics in its caller, and nothing is left of the call. In a [Client.Go] the
// panic is the call's error.
// They may use the client, but Close and Shutdown, called within them, wait for the call
// that they are part of.
//
// The functions of Config.Trace that are not about one call, and the Logger, are called in
// order, one at a time and without locks, in a goroutine of their own. They, Conn.Dial and
// Source may call the client and may close it; Close waits for them for a second at most.
// A Policy is called under a lock and must not call the client. A panic in one of them is
// logged. It then counts as a failed dial, as an end of the Source, or, for a Policy, as
// P2C.
//
// # Looking inside
//
// [Client.Stats] has the counts. [Client.ServeHTTP] is a page (or JSON, ?format=json) that
// shows why each node is used or not; package debugrollcall has one page for all clients
// and servers of a program, and package promrollcall has metrics. A [Trace] follows single
// calls or all of them.
package rpcclient
