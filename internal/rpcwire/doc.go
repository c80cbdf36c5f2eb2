// Package rpcwire is the wire of net/rpc with what Rollcall adds to it, for both ends of
// a connection. This page is the specification of the protocol: a client or a server in
// another language can be written from it and from the "Encoding Details" of
// encoding/gob.
//
// # The wire of net/rpc
//
// A connection is a stream of bytes, over TCP or TLS, without a handshake of its own. Where
// the server is part of an HTTP server, the client first sends "CONNECT /_goRPC_ HTTP/1.0"
// and an empty line, and reads the header of an HTTP response with the status "200 Connected
// to Go RPC". Each direction is one gob stream: a sequence of messages, each a length and then
// either the definition of a type, which has a negative id, or a value.
//
// The client sends requests, and the server sends responses. Each is two values:
//
//	Request  struct { ServiceMethod string; Seq uint64 }                then the argument
//	Response struct { ServiceMethod string; Seq uint64; Error string }  then the reply
//
// The rules are:
//
//   - A method is named "Service.Method".
//   - The sequence number of a request is chosen by the client. Those of one connection
//     grow. This client begins with 1; 1<<64-1 is reserved.
//   - A response has the number and the method of its request. Responses come in any
//     order, because calls run at the same time. net/rpc's client, and this one, find the
//     request by its number and do not look at the method.
//   - If Error is not empty, the call has failed and the reply is an empty struct, which
//     is read and dropped. The server's own errors have the form of a method's. The text
//     "rpc: can't find service S", "rpc: can't find method S" or "rpc: service/method request
//     ill-formed: S", with S for the name, means that nothing was executed.
//   - Half a request is not executed, as it cannot be decoded. So a request that was not
//     written whole was not executed.
//
// A client closes the connection when it needs no more. There is no farewell.
//
// # The long form
//
// A stream may define a second type of header with more fields, and use both. A receiver
// of gob skips fields that it does not know, so that net/rpc's own client and server read
// what they know.
//
//	Request  struct { ServiceMethod string; Seq uint64; Timeout uint64; Meta []string }
//	Response struct { ServiceMethod string; Seq uint64; Error string; NotExecuted bool; Wait uint64; Knows []string }
//
// A client sends the long Request when there is a Timeout or a Meta, and else the plain one.
// A server sends the long Response when one of its last three fields is needed, and when it
// answers a ping.
//
//   - Timeout is how much of the caller's time was left when the request was written, in
//     microseconds. It is never a time of day. 0 means that there is no end. A request whose
//     time is over before it is its turn is not executed.
//   - Meta is metadata: key, value, key, value. Keys are in ascending order, each once. A key
//     has 1 to 64 bytes of a-z, 0-9, ".", "_" and "-". Keys that begin with "_" are reserved.
//     There are at most 32 keys, and 8 KiB of keys and values together.
//   - NotExecuted means that the request was refused: it was not executed and will not be,
//     and the client may send it elsewhere, whatever its method. Error says why.
//   - Wait is how many milliseconds the client should send nothing more to this server. 0
//     says nothing about it. A client waits for a minute at most.
//   - Knows lists what the server understands beyond net/rpc, in the answer to a ping. There
//     is one word, "cancel". A client ignores words that it does not know.
//
// A request with metadata beyond the bounds, or with a field of another type, is answered
// with NotExecuted, and the connection goes on. A client that cannot understand the fields
// that only the long Response has takes what the plain one has.
//
// # Cancel
//
// A client may tell the server that it has given a request up, with a request that has the
// number of that request and an empty struct as its argument:
//
//	Request{ServiceMethod: "_rollcall.Cancel", Seq: 5}
//
// It has no answer. The server ends the context of the method if it has one. The request
// that was given up is still answered, once; the client drops the answer. A request that
// waits for its turn is answered with NotExecuted. The server ignores a cancel for a
// request that it does not know, or has answered. A client must not send it to a server
// that has not said that it knows "cancel": that one would answer it.
//
// # Ping
//
// A client may send a request of the method "_rollcall.Ping" with any argument, such as
// an empty struct. Every server of net/rpc answers it, because the service does not exist:
// with an error. A server of Rollcall answers it without an error and with an empty struct,
// from the loop that reads requests, however busy its methods are. So a client knows after
// the first ping whether a later ping that is not answered proves that the server
// hangs, or may only mean that the server works on one request after the other.
//
// The client begins each connection with a ping. It may ignore what the answer says. If the
// answer has NotExecuted, the server refuses calls at present. Its Error is empty then, too.
//
// # Notices
//
// A server of Rollcall may send a response with the number 1<<64-1, which is the answer to
// no request. Its body is an empty struct. It is a notice:
//
//	ServiceMethod     Error       meaning
//	_rollcall.Drain   drain N     the server shuts down
//	_rollcall.Drain   retire N    this connection ends, and the server goes on
//	_rollcall.Ping    busy        the server reads no requests for the moment
//
// N is a decimal number. Requests with a higher number than N were not executed and will
// not be: the client may send them elsewhere, whatever their methods. Requests up to N
// are answered. After the notice the client sends nothing but cancels on the connection, and
// closes it when all its requests are answered. "drain" is true of the client's other
// connections to this server, too. After "retire" the client may connect again at once.
//
// A server that shuts down first sends N = 1<<64-1, "send new requests elsewhere,
// nothing is lost", and still executes what comes. Before it closes the connection it sends
// the exact N. A notice may be repeated with a lower N. After the last notice the server
// closes its direction, and reads for up to two seconds until the client closes, too.
//
// "busy" is sent every half second while the server has no memory for more requests. It
// means that the server is alive although it answers no pings.
//
// net/rpc's client drops all notices, as it drops each response whose request it does not
// know. A client must ignore a notice that it does not understand. No notices are sent
// where Codec is set: other codecs do not allow a response without a request.
//
// # Limits
//
//   - A value is at most Limits.Frame bytes long (requests) or Config.Conn.MaxReply
//     (replies), its definitions apart. A longer one ends the connection.
//   - The name of a method is at most 4 KiB long. A request with a longer one is answered
//     with NotExecuted.
//   - A value may take four times as much memory when it is decoded.
//   - Values are nested at most 10,000 deep. An element of a linked list is a level.
//   - Maps and slices announce no more elements than their message holds.
//   - The type definitions of one direction are at most 1 MiB.
//   - A request arrives within Limits.FrameTimeout, counted from its first byte. The client
//     reads 256 KiB of answers within Limits.WriteTimeout. Else the server ends the connection.
//
// What is beyond the bounds of memory, depth, counts or definitions is an error of its call.
// It ends the connection if the end of the value is not known, or if it is a definition.
//
// # Interface values
//
// Arguments and replies that can hold interface values are served as net/rpc serves them.
// One that does not fit costs its connection, which is retired and replaced.
//
// The reason is in encoding/gob. Such a value may be cut in several messages, so that only
// a decoder that goes through all of it knows its end. The type definitions within a value
// are lost when the rest of the value is not decoded, or not encoded.
// So the server answers such an argument with an error, says "retire", and finishes the
// calls that came before. The client ends the connection: of the other calls in flight on it
// the answers are lost. An argument that cannot be encoded retires the connection, and its
// calls in flight are finished.
//
// # In this package
//
// [Reader] reads the messages of one direction, and [Writer] writes them: byte for byte as
// encoding/gob does, with panics contained and limits kept. Headers, and values of
// types without interface values, are taken apart by package gobvalue, which is several
// times as fast. encoding/gob sees every definition and the first value of every type, and
// whatever is unusual. Only of long headers, it skips the first one, so that nothing is made of
// metadata beyond the bounds. [Drain], [Retire], [Busy] and [ParseEnd] are the notices.
package rpcwire
