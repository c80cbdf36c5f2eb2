// Package nameserver has the sockets of DNS: it answers queries for zones over UDP,
// TCP and TLS, and feeds secondaries by zone transfer.
//
// Most callers need Listen, Run and Close:
//
//	s, err := nameserver.Listen(nameserver.Config{
//		Addrs: []string{"127.0.0.1:5300"},
//		Zones: []nameserver.Zone{{Zone: z}},
//	})
//	...
//	err = s.Run(ctx) // until ctx ends
//
// What a query gets:
//
//	shorter than a header, or a response       nothing
//	QDCOUNT not 1, malformed, two OPTs         FORMERR (RFC 9619, RFC 6891 6.1.1)
//	opcode other than QUERY                    NOTIMP
//	EDNS version above 0                       BADVERS (RFC 6891 6.1.3)
//	id.server or hostname.bind in class CH     Config.NSID, if there is one (RFC 4892)
//	other classes than IN, name in no zone     REFUSED, with an Extended DNS Error
//	class ANY                                  as IN, without AA (RFC 1035 6.2)
//	anything in a zone without content         SERVFAIL, with an Extended DNS Error
//	anything in a zone                         the zone's answer, AA set
//	a panic while answering                    SERVFAIL; counted and logged
//
// Sizes. Over UDP an answer fits in the smaller of what the client offered
// (512 without EDNS, RFC 6891 6.2.5) and Config.MaxUDP. Address records of the
// additional section are left out first, without TC (RFC 2181 9); if more must be
// left out, TC is set. Over TCP a record set beyond 64 KiB is answered by the zone's
// weighted sample, drawn again each ten minutes. An Extended DNS Error
// (RFC 8914) says that it is a sample, or TC to clients without EDNS (RFC 2181 9);
// Stats counts them.
//
// Two paths give the same octets. The fast one asks the zone for a ready image and
// writes header, question (in its case, so that 0x20 works) and OPT around it,
// without an allocation. A question that the images cannot answer takes the readable
// path, through records and miekg/dns. Fuzz targets compare the two.
//
// States. A zone that has no content yet (zone.Config.Absent) is in no answer and no
// transfer, and its secondaries hear nothing. One that may be out of date
// (zone.Zone.SetStale) is answered as always; to clients with EDNS an Extended DNS Error
// says so, if there is room for its six octets without leaving out a record.
//
// Abuse. UDP has one loop for each socket and no goroutine for a query: the kernel
// drops queries that come faster than they are answered. TCP is bounded in
// connections, in memory for each, and in time. A client that proves its address by
// a DNS Cookie (RFC 7873, 9018) or by TCP is never rate limited; others are by
// default, unless their network is private (RateLimit). No question over UDP costs
// more than 20 times a plain one: images answer everything, and IXFR gets no
// difference.
//
// Transfers: AXFR (RFC 5936), IXFR (RFC 1995) and NOTIFY (RFC 1996), allowed
// by address, by TSIG key (RFC 8945) or both. A key is good for its zone.
package nameserver
