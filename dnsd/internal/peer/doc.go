// Package peer is the private connection between the dnsd that share one registry, the
// members of a cluster, and the way of a write from the member that got it to the member
// that may write.
//
// A [Server] takes operations of other members and makes them in its registry. A [Writes]
// is a registry.Writer that makes each write in the own registry if that is the writer,
// and else passes it on, together with others. A [Client] has the connections.
//
// # Which processes may connect
//
// Each process makes a key and a certificate at its start ([NewIdentity]), which are
// never stored. The fingerprint of the certificate is published in the store that the
// members share. What can write there can become a member, and nothing else has to be
// configured. Both ends of a connection prove that they have the key of a certificate.
// The server asks [ServerConfig.Known] whether the other's is that of a present member,
// before it reads any HTTP. The client accepts only the one certificate of the member it
// dials. So an old process at the same address, or another one, is not taken for the
// member.
//
// # Operations
//
// POST /v1/operations has a list of operations, and its answer a result for each:
//
//	{"version":1,"operations":[
//	  {"do":"register","record":{"service":"_math._tcp","id":"a1","host":"10.0.0.7",...}},
//	  {"do":"renew","instance":"_math._tcp/a1","incarnation":7}]}
//	{"results":[
//	  {"receipt":{"did":"created","revision":12,"instance":{...},"expiresIn":"15s","count":1}},
//	  {"error":{"text":"...","kinds":["notFound"]},"revision":12}]}
//
// Any other status than 200 says that no operation was executed. GET /v1/state answers
// with a [State].
//
// Members of different releases work together. A reader ignores fields that it does not
// know. An operation that it does not know gets an error, and the others of the batch are
// executed. So a field that must not be ignored changes the word of its operation: an
// instance that asks to be drained is registered with "register+drain". An error arrives
// with the text, and as what it was for errors.Is and errors.As.
//
// Neither tokens nor addresses of clients travel: the member that a client asked has
// checked them, and only what it decided is passed on.
//
// # When a write is made twice
//
// If a connection breaks after an operation was sent, it may have been executed. Then it
// is sent again, to the same writer or the next, with "since", the revision of the sender
// before the first attempt. A writer does not execute it again if another change has
// followed under this name: that would be undone. Its error is registry.ErrOvertaken. An
// older writer ignores "since". What remains is an attempt whose connection has broken, and
// that the same writer executes only after the next attempt: it has no "since". One operation is never sent again, because it cannot be
// told whether it was executed: the release of suspects. If no writer answers in time, the caller gets
// registry.ErrUncertain, and if the operation was never sent, registry.ErrNotWriter.
package peer
