// Package cluster has the stores that several dnsd share, on etcd. [Stores] opens them
// for package dnsd:
//
//   - an etcd that is there already, version 3.4 or newer (store etcd),
//   - etcd's own server inside this dnsd and the other ones (store cluster).
//
// It is a module of its own, because etcd brings a hundred packages that the light dnsd
// does not need. The command in cmd/dnsd is the full dnsd.
//
// # The client
//
// Both kinds are the same client of etcd's gRPC API v3. It does not use etcd's client
// library, since that hides what a fenced commit has to know:
//
//   - A write that failed is uncertain only if its request had left this process. The
//     library does not say whether it had.
//   - The library repeats a watch and a keepalive for ever without a word when the
//     connection is gone. Here, the caller is told.
//   - The library keeps what a watch has received without a bound. Here, it stays with
//     etcd until it is wanted.
//   - With a password, the library hashes it again for each stream that it opens. Here,
//     a token is used until etcd refuses it.
//   - The library spreads calls over all servers, also to one that hangs. Here, all goes
//     to one server, and to the next one when that does not answer.
//
// The servers are used in the order in which they are written down. A server is left
// when it cannot be reached, when it has lost the others, or when it did not answer for
// [patience]. Then the watches that it serves end, and their readers begin them again
// elsewhere.
//
// # The server
//
// Etcd's server is started in the process by its package embed. It opens one port, for
// the other servers; with https, both ends show a certificate. The store's client
// reaches it through memory. For an operator's etcdctl there is a socket in the
// directory, etcd.sock, that only the user of the process may open.
package cluster
