// Package callmeta is the metadata of a call: a few strings with names that travel beside
// the argument, such as a token or a traceparent. It is what the client and the server
// share of it: the form, the bounds, and the keys of the context.
//
// The caller puts pairs into its context with [WithOutgoing]. They travel with the calls of
// that context. The method of the server finds them in its own context, by [Incoming].
// Incoming pairs do not travel on by themselves: a server that calls another one says which
// of them it passes on.
//
// # Rules
//
//   - A key has 1 to [MaxKey] bytes of a-z, 0-9, ".", "_" and "-". A call has a key once.
//   - A key that begins with "_" is reserved for Rollcall.
//   - A value is any bytes, and may be empty.
//   - A call has at most [MaxKeys] keys, and [MaxBytes] bytes of keys and values together.
//
// # On the wire
//
// A [Meta] is kept as it travels: as encoding/gob writes the []string of key, value, key,
// value, in ascending order of the keys. So it is one string. A client appends it to the
// request's header, and a server copies it out, without a look at the pairs.
package callmeta
