// Package push has the sessions of clients that follow the zones live: DNS Stateful
// Operations (RFC 8490), DNS Push Notifications (RFC 8765), and Rollcall's own FOLLOW, which
// brings the addresses of the targets and the revision, also without TLS.
//
// A name server hands a connection over when the first message of such a session comes:
//
//	p := push.New(push.Config{Zones: zones})
//	...
//	if p.Takes(msg) && p.Serve(push.Conn{Conn: c, From: addr, Buffered: frames}) {
//		return // the connection is not ours any more
//	}
//	...
//	p.Drain() // clients come back later
//	p.Close()
//
// # Rules
//
// What all subscribers of a record set are sent is made once (topic), and is the same
// octets for each, but for the id of the subscription. A hub waits for the changes of one
// zone, takes all that there are at once, and sends them to the sessions. It waits for no
// client: what the system does not take at once is left to a goroutine of that session. That
// holds with TLS as well, which writes to a Wire.
// Whole sets, and the differences of those that are behind, are made without its lock (way).
//
// A session has no queue. A client that reads too slowly has at most the message that is on
// its way, and a mark: the version of the zone that it knows. When the message is sent, the
// session sends the difference between the mark and the zone at that time, or the whole
// set. So no client is behind without being told, a burst costs it one message, and what it
// costs is bounded. One that takes 10 s for 16 KiB is aborted.
//
// While nothing happens, a session is a goroutine with the smallest stack, which waits for the
// socket to be readable, and no goroutine wakes. The system finds clients that are gone
// (settle).
//
// A zone without subscribers costs nothing: its hub does not run.
//
// Errors are those of the RFCs. A message that breaks the protocol ends the session with a
// reset (RFC 8490 section 5.3). A request that cannot be served is answered with an RCODE
// and the time after which it may be tried again:
//
//	not a whole message, or another form         FORMERR
//	a type that is not known, or needs TLS       DSOTYPENI
//	a name in no zone of this server             NOTAUTH
//	a zone without content                       SERVFAIL
//	beyond the bounds (Limits, mostPerSession)   REFUSED; come back in a second, later if many do
//
// What one address holds is bounded, and what all hold (holder, held). A panic costs a session,
// or those of a zone, and not dnsd.
//
// # Locks
//
// A hub's lock is taken before that of a session, and a session's lock is the last one
// taken. The reader of a session changes the list of its subscriptions with both.
package push
