// Package conn is one connection to a net/rpc server, with many requests in flight.
//
// A [Set] is the connections of one client. [Set.Start] begins to use a net.Conn,
// [Conn.Send] sends a [Request], and the request's Done has a token when its result is
// known. The package knows bytes, deadlines, pings and drain. It does not know names,
// nodes, retries or hedges: those are package rpcclient's.
//
// # What it promises
//
//   - Each request that Send took gets one result, once: the answer, or an error that
//     says whether the server has executed the request ([Executed]).
//   - No request waits beyond its own deadline: not for another request's encoding, not
//     for a write that blocks, not for an answer.
//   - A reply is decoded into the caller's value only while the caller waits for it.
//     After [Conn.Abandon] has returned true, nothing touches the value.
//   - An argument or a reply that does not fit costs its own request only, if it holds no
//     interface values and is not too large. Else it costs the connection ([Conn.Misfit]).
//     Methods of the caller's types (GobEncode and so on) may panic.
//
// # The life of a connection
//
// It goes forward only: open, retired (it takes no more requests and ends when those in
// flight have), ended (the socket is closed), settled (every request has its result).
// [Conn.Retire] and [Conn.Fail] bring it on. The [Owner] is told when the connection
// retires and when it has settled.
package conn
