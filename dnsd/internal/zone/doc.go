// Package zone turns a registry into DNS: it takes changes and gives answers. It
// owns no socket, no goroutine and no clock.
//
// A Zone is a [registry.Sink]. Load gives it everything, Apply each change; when
// Apply returns, every answer knows the change. Readers never wait: a change makes
// a new immutable state and stores one pointer.
//
// # Names
//
// For the service _math._tcp with an instance a1, in the zone svc.:
//
//	_math._tcp.svc.              SRV       one per instance, to a1.math.tcp.svc. or the registered name
//	_math._tcp.svc.              PTR       a1._math._tcp.svc. (RFC 6763 section 4)
//	a1._math._tcp.svc.           SRV, TXT  that instance and its meta (RFC 6763 section 6)
//	a1.math.tcp.svc.             A, AAAA   its address; the name does not exist if it registered a name
//	math.tcp.svc.                A, AAAA   the addresses of all instances
//	_services._dns-sd._udp.svc.  PTR       the services (RFC 6763 section 9)
//	svc.                         SOA, NS   serial = low 32 bits of the revision
//	ns.svc.                      A, AAAA   the name servers' addresses
//	_dns-push-tls._tcp.svc.      SRV       where clients subscribe over TLS (PushServer)
//
// # Rules
//
//   - A record set has one TTL (RFC 2181 section 5.2), the lowest of its
//     instances, and holds no record twice (section 5). The list of services has
//     the zone's TTL.
//   - A drained instance is in no answer. A suspect one is published with 1000
//     added to its priority, so that clients come to it last.
//   - A name exists if it has a record or a name below it has one (RFC 4592
//     section 2.2.2, RFC 8020): svc., _tcp.svc., tcp.svc., and _udp.svc. and
//     _dns-sd._udp.svc. as soon as there is a service to list. Nothing else
//     exists; there are no wildcards. A service without a published instance does
//     not exist.
//   - A negative answer carries the SOA, its TTL lowered to the negative TTL
//     (RFC 2308 sections 3 and 5).
//   - The order of the records is fixed: by priority as published, then by id.
//   - ANY gets one record set (RFC 8482 section 4.1).
//   - SRV answers bring the addresses of those targets that are instances, as many
//     as clients can read (glueRoom). PTR answers bring nothing: RFC 6763 section
//     12.1 would add three records each, and a client that lists many instances
//     wants their names in one packet.
//   - A name has at most 255 octets (RFC 1035 section 2.3.4): an instance whose
//     names would be longer is not published.
//   - A name server in the zone has addresses ([NameServer], [Reachable]).
//   - An answer is cut from its end between two records: additional ones go
//     without TC, others with TC (RFC 2181 section 9).
//   - A set that no message can hold is answered by a sample by weight from the
//     lowest priorities, drawn again by [Zone.Redraw]; Sampled and Total of the
//     answer say so. The sample depends on the instances and on the turn alone.
//
// # The two paths
//
// [Zone.Lookup] gives records, and [Pack] makes a message of them: readable, for
// every question. [Zone.AppendAnswer] copies images and allocates nothing; the
// first question after a change makes an image, which then serves until the next
// change:
//
//	// msg is the header and the question as asked, qname the name in it.
//	limit := udpSize - optSize // of the message, without what follows the answer
//	out, n, ok := z.AppendAnswer(msg, msg[12:12+nameLen], qtype, limit)
//	if !ok {
//		out, n, err = zone.Pack(msg, z.Lookup(name, qtype), limit)
//	}
//	// n.Rcode, n.AN, n.NS, n.AR and n.TC go into the header; then OPT.
//
// Both give the same octets for the same state of the zone; tests and a fuzz
// target compare them. Offsets count from the header, so msg must begin with it:
// over TCP, pass what follows the length, and as limit 65535 less what follows the
// answer. The caller handles the class, AXFR and IXFR, and n.Sampled, which is
// worth an Extended DNS Error.
//
// The images of a large service are of two lengths, so that a packet of 1,232
// octets for 5,000 instances costs a look at the first hundred.
//
// # Secondaries
//
// Transfer is the whole zone at one revision (RFC 5936), Journal the difference
// since a serial (RFC 1995), condensed. Both read a snapshot that shares its
// parts with the current state, so that nothing waits for a slow secondary. Serials
// wrap by RFC 1982. After a reload, Load rebuilds the journal from the registry's
// history; after a restart there is none. The journal never reaches over a Load, or over
// a revision, whose changes it has not been given: secondaries transfer the whole zone.
// A revision that changes nothing needs no call; the serial stays until the next change.
//
// Zones of equal configuration, revision and instances are equal, in all records, their
// order, and the octets of all answers, whatever calls led there: several dnsd may share
// a registry, and clients and secondaries may go from one to another.
//
// The serial counts the registry's changes. A zone that replaces another with other
// name servers or TTLs (Config.Renewed) must be loaded at a revision of its own
// (registry.AttachRenewed), and secondaries transfer it whole. They do the same
// after a restart, which begins above every serial given out before.
//
// # Views
//
// [Zone.View] is the zone at one revision, for those that must know what changed: it has
// whole record sets, and differs from a later one part by part. A part is a service with
// all its names; Since names the parts that changed. A reader waits for Changed, and then:
//
//	now, parts, ok := z.Since(old)
//	for _, part := range parts {
//		d := old.Difference(now, part)
//		removed, added := d.Followed("_math._tcp.svc.")
//	}
//
// # Without content, and stale
//
// With Config.Absent a zone has no content before its first Load: all names in it have
// SERVFAIL, because NXDOMAIN would tell clients that their services are gone. SetStale
// says that the content may be out of date. It changes no answer; the caller asks Stale,
// and tells clients.
//
// # Reverse zones
//
// With Config.Forward a Zone leads from addresses to host names, by the same
// changes: 7.0.0.10.in-addr.arpa. PTR a1.math.tcp.svc., one record for each
// instance at the address (RFC 1035 section 3.5, RFC 3596 section 2.5). All of
// the above holds for it.
package zone
