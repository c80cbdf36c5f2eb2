// Package rpcserver serves net/rpc methods over the unchanged net/rpc wire, and
// does what net/rpc's own server does not: it registers itself, survives panics,
// bounds what a client may use, and stops without an error for its clients.
//
// Three lines serve and register:
//
//	s := rpcserver.New(rpcserver.Config{Announce: []register.Config{{Service: "_math._tcp"}}})
//	s.Register(new(Arith))
//	err := s.ListenAndServe(":0")
//
// and with signals, as main:
//
//	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
//	defer stop()
//	err := s.Run(ctx) // serves, and shuts down gracefully when ctx ends
//
// Methods, names, error texts and bytes are those of net/rpc: its clients call
// this server, and moving a server here changes nothing for them. JSON-RPC is
// Config.Codec: jsonrpc.NewServerCodec.
//
// # Rules
//
//   - Each call runs in a goroutine of its own, and may take as long as it likes. Only a
//     method with a context learns that its caller has gone.
//   - A panic is an error for that call, with the stack in the log. The process
//     lives on: a method that leaves locks held when it panics leaves them held.
//   - An argument that does not fit, and a reply that cannot be encoded, are errors
//     for that call. A stream that cannot be understood ends its connection.
//   - Arguments and replies that can hold interface values are served as net/rpc serves
//     them. One that does not fit costs its connection, which is retired and replaced.
//   - Limits hold back or close; they do not fail calls. A call over Limits.InFlight
//     waits for its turn, while the connection is read on. A client with 256 KiB of
//     answers that it has not read is not read from until it has.
//   - Responses that become ready together leave in one write. A response never
//     waits for a call that is still running.
//
// # Contexts
//
// A method may take a context before its argument, beside methods of net/rpc's form:
//
//	func (t *Arith) Multiply(ctx context.Context, args *Args, reply *int) error
//
// It ends when the caller gives up, when its deadline passes, when the client ends the
// connection, when the time of a shutdown is over, and when the method has returned.
// context.Cause says which: [ErrGaveUp], context.DeadlineExceeded, [ErrDisconnected] or
// [ErrServerClosed]. Giving up and the deadline come from rpcclient; with net/rpc's own client
// the context ends with the connection. [CallFrom] gives the method its name, the peer, and the
// metadata that the caller has sent along.
//
// A call whose deadline passes before its turn, or that is given up before it, is not
// executed.
//
// # Middleware
//
// [Config.Middleware] is called around each method. It sees the context, the method, the peer,
// the metadata, the argument and the reply. It may refuse a call before it is executed: see
// [Refuse]. The examples authorise by certificate and by token, write a log, and limit each
// caller.
//
// # Stopping
//
// [Server.Shutdown], with which Run ends, takes the time that clients need. Connected
// clients are told to call elsewhere. Clients that have the record in a cache still find the
// server, and are told the same, until the record's TTL (5 s by default) is over.
// [Listener.Stop] does so, without the telling, for a server of net/rpc's own. Neither waits
// for a dnsd that does not answer. Config.ShutdownTimeout, or the context, bounds the time.
//
// # Hostile clients
//
// A stranger that may connect cannot end the process, and cannot make it take more memory
// than about this, times two for what the garbage collector has not freed yet:
//
//	2 * (Limits.BytesTotal + 4 * Limits.Frame)   requests, and values decoded from them
//	Limits.BytesTotal / 4                        type definitions
//	Limits.Conns * 300 KiB                       buffers of the connections, and their first types
//	Limits.InFlightTotal * 20 KiB                calls with small arguments
//	Limits.InFlightTotal * 8 KiB                 metadata, if there are methods with a context, or middleware
//	memory that the methods take, and their answers on the way
//
// An argument may take more memory than its bytes, up to four times Limits.Frame. From 1 MiB
// on it is counted before it is decoded. Values that encoding/gob would not survive do not
// reach it: values nested more than 10,000 deep (a linked list counts each of its
// elements), and maps and slices that announce more than their message holds, are errors for
// that call or end the connection. So do type definitions of more than 1 MiB, or when those
// of all connections are too many. A request that takes longer than Limits.FrameTimeout, all
// of it together, and a client that does not read a piece of 256 KiB within
// Limits.WriteTimeout, lose their connection. With Limits.Conns open, a connection that
// never asked anything makes room for a new one, and so does an idle one of the
// address that holds the most.
//
// # What the server says of itself
//
// A server that shuts down tells its clients on the connection itself, with a
// response that belongs to no request:
//
//	rpc.Response{ServiceMethod: "_rollcall.Drain", Seq: 1<<64 - 1, Error: "drain N"}
//
// Requests after number N were not executed, and will not be. Package rpcclient sends
// them elsewhere; net/rpc's client drops the response. "retire N" says the same of this
// connection only. A request "_rollcall.Ping" is answered at once, however busy the
// methods are. The page of internal/rpcwire has the whole protocol.
package rpcserver
