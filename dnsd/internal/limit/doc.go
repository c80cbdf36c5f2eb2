// Package limit is what the DNS sockets and the hook share to bound what clients can
// take: what counts as one client, how many files the process may open, and how a
// listener behaves when no connection can be taken.
package limit
