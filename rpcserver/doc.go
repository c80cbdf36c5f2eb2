// Package rpcserver serves net/rpc methods over the unchanged net/rpc wire, and
// does what net/rpc's own server does not: it registers itself, survives panics,
// bounds what a client may use, and ends without an error for anybody.
//
// Three lines serve and register:
//
//	s := rpcserver.New(rpcserver.Config{Register: &register.Config{Service: "_math._tcp"}})
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
//   - Each call runs in a goroutine of its own, and may take as long as it likes.
//   - A panic is an error for that call, with the stack in the log. The process
//     lives on: a method that leaves locks held when it panics leaves them held.
//   - An argument that does not fit, and a reply that cannot be encoded, are errors
//     for that call. A stream that cannot be understood ends its connection. So does
//     an argument with interface values that does not fit, behind its answer, for
//     encoding/gob does not find its end; a failed reply with interface values, whose
//     types' definitions are lost with it, has the connection drained.
//   - Limits (Config.MaxConns and following) hold back or close; they do not fail
//     calls.
//   - Responses that become ready together leave in one write. A response never
//     waits for a call that is still running.
//
// # Drain frames
//
// A server that shuts down tells its clients on the connection itself, with a
// response to a request that nobody made:
//
//	rpc.Response{ServiceMethod: "_rollcall.Drain", Seq: 1<<64 - 1, Error: "drain N"}
//
// N is the highest sequence number whose request is executed; requests after it
// never will be. While it still answers everything, the server sends N = 1<<64-1,
// "call elsewhere, nothing is lost"; before it closes, the exact N. A connection that
// ends alone, while the server goes on, says "retire N". net/rpc's client reads such a
// response and drops it.
//
// A request "_rollcall.Ping" is answered at once, with an empty reply, however
// busy the methods are.
package rpcserver
