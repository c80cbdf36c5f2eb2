// Package otelrollcall traces calls with OpenTelemetry: a span for each call of a client, and
// one for each call that a server executes or refuses, in one trace over any number of hops.
//
//	server := rpcserver.New(rpcserver.Config{
//		Middleware: []rpcserver.Middleware{otelrollcall.Middleware(otelrollcall.Config{})},
//	})
//	client, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{
//		Interceptors: []rpcclient.Interceptor{otelrollcall.Interceptor(otelrollcall.Config{})},
//	})
//
// Give each as the first of its list, so that the span covers the others. A method that calls
// another server passes its context on:
//
//	func (f *Front) Square(ctx context.Context, n int, reply *int) error {
//		return f.math.Call(ctx, "Arith.Multiply", &Args{n, n}, reply)
//	}
//
// The package is a module of its own, because package rpcclient needs nothing of
// OpenTelemetry.
//
// # Spans
//
// Names and attributes are those of OpenTelemetry's semantic conventions for RPC, 1.43.0. The
// name of a span is the method, "Arith.Multiply".
//
//   - rpc.system.name is "net/rpc", whatever the codec is.
//   - rpc.method is the method.
//   - server.address, of a client's span, is the service, "_math._tcp.svc": the conventions want
//     what is called, and not the node that answered.
//   - network.peer.address and network.peer.port are the other end: for a client, the node that
//     answered or was tried last.
//   - error.type is set if the call has failed. Then the status is Error, with the text of the
//     error, at most 1 KiB.
//   - rollcall.executed, of a client's span that failed: whether a server has executed the call,
//     "never", "maybe" or "yes".
//
// The span of a client covers the whole call. Its events are "attempt" (rollcall.attempt is its
// number), "hedge" and "attempt failed" (with rollcall.phase, rollcall.executed, rollcall.hedge
// and rollcall.error). An attempt that failed is no failure of the span if a later one
// succeeds.
//
// # Values of error.type
//
//   - refused: a server has not executed the call, and will not.
//   - timeout, canceled: the time was over, or the caller gave up.
//   - panic: the method panicked or ended its goroutine; for a client, it is a hook or another
//     interceptor that did.
//   - server_error, no_node, connection, encode, decode, closed, of a client: the method
//     returned an error; there was no usable node; the connection was lost; the argument could
//     not be encoded, or its metadata are beyond the bounds; the reply did not fit; the client
//     is closed.
//   - Any other is the type of the error, or what its method ErrorType() string returns.
//
// # What travels
//
// A propagator, such as propagation.TraceContext, writes the trace into the metadata of the
// call, and reads it on the server: traceparent and tracestate, and what other propagators
// have, with keys in lower case. Pairs beyond the bounds of rpcclient.WithMeta are left out, and
// the call goes on without them. A server of net/rpc skips the metadata. A call from a client
// of net/rpc has none: its span is a root.
//
// A server takes the trace of any client. One that is not trusted can choose the
// trace and ask for sampling; a sampler of your own can decide otherwise.
package otelrollcall
