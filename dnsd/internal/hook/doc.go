// Package hook is dnsd's HTTP server: instances register and keep their leases here,
// operators drain them, and clients list and watch them.
//
//	s, err := hook.Listen(hook.Config{Registry: r})
//	...
//	err = s.Run(ctx)
//
// The requests, their answers and their errors are described in docs/http-api.md, the
// tokens and certificates in docs/security.md, the metrics in docs/metrics.md. Tests
// hold these pages to this package. The JSON has the types of package register.
//
// # Refusals
//
// Every refusal is a register.Problem (RFC 9457): its detail says what to do, and its
// field names the part of the request that is wrong. The JSON is read strictly: a
// field that is unknown, given twice, null or of another type is an error, and so is
// anything after the object. net/http refuses what it cannot parse (a broken request
// line, a header above 16 KiB) with plain text.
//
// A refused write has a line in the audit log. Of the refused writes without a valid
// token only the first ten a minute have one, and then a line says how many more there
// were.
//
// # Watch
//
// An event is encoded once for all watchers. Its id is LIFE-REVISION: a revision is a
// number of one life of the registry, and after a restart, or after a store was put
// back, the same number may be of another content. For the same reason an ETag has
// both. A reader that falls behind by more events than the registry queues is cut.
//
// # Hold
//
// A hold with ?heartbeat=1 is renewed by each octet of its body, and by nothing else.
// The octets prove that the process works: the kernel of a stopped process (SIGSTOP, a
// debugger, a frozen container) keeps the connection open, but no octets come, and the
// lease ends. If the guard gives such an instance a reprieve because its service is
// small, the hook asks the host: if the host acknowledges what it is sent (Linux knows
// that), the network is not the reason for the silence, and the instance is removed.
//
// A hold without heartbeats is renewed by the hook every third of the lease, as long as
// the connection is open and, on Linux, the host acknowledges. A stopped process is
// found after 5 minutes, when the hold ends with the reason "again".
//
// When the connection of a hold breaks, the registry probes the instance and removes it
// if it refuses, milliseconds after a kill -9. Only a host that the connection came from
// is probed. Otherwise a hold for another host, which needs a token with AnyHost, would
// show which ports of that host are open.
//
// Where several dnsd share a registry, a hold renews through the writer. While there is
// none, the hold goes on, tries again each half second, and tells its client that it waits. The
// client decides whether it goes to another dnsd. An older hold of the same instance at
// another dnsd does no harm: the client's connection to it is closed or dead, so it is not
// renewed, and the probe after its end finds an instance that works.
//
// # Rights
//
// On loopback without tokens every process that can connect may do everything. A web
// page of another origin may not, and a request for a name that is not localhost is
// refused (421): a web page could point its own name at 127.0.0.1. Off loopback Listen
// requires tokens or client certificates, unless Insecure is set.
//
// A token (RFC 6750) has verbs, for services: admin includes write, and write includes
// read. Whole lists and metrics need read for "*". With a client CA every connection
// needs a certificate of that CA; without tokens its holder may do everything. The
// present configuration is asked at each request, also on connections from before an
// Update.
//
// To register a host that is not the peer's own address, a request needs a token with
// AnyHost, a client certificate for that host, or, without tokens and certificates, a
// peer on loopback. The peer is the other end of the connection. X-Forwarded-For and
// similar headers are not believed; but a request that has one and gives no host is
// refused, because its address is that of a proxy.
//
// # Which connections are closed first
//
// Connections are bounded. Where tokens or certificates are required, a quarter of them
// is reserved for callers that have shown one. At the bound an unused connection is
// closed for a new one: of the address that has most connections which have shown
// nothing, the oldest first.
package hook
