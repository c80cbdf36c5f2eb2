// Package dso has the octets of DNS Stateful Operations (RFC 8490), of DNS Push
// Notifications (RFC 8765), and of Rollcall's own subscription (FOLLOW, SET, UNFOLLOW). It
// reads and writes messages, and checks all that a single message can be checked for. It
// has no connection, no clock and no memory: which ids are in use, and what is subscribed,
// is the business of its two users, the server in dnsd and the client in the resolver.
//
// # Reading
//
// A connection gives frames: two octets of length, then a message. Is tells a DSO message
// from another one. Read takes a message apart, and says with an *Error what is wrong with
// it: the octet, and what the other end must see. An error that is not fatal is the
// answer to a request:
//
//	m, err := dso.Read(msg, dso.FromClient)
//	switch {
//	case dso.Fatal(err): // abort the connection (RFC 8490 section 5.3.1)
//	case err != nil:
//		b = dso.AppendResponse(b, m.ID, dso.Rcode(err))
//	case m.Primary.Type == dso.TypeSubscribe:
//		q, err := m.Subscribe() // has errors of the same kind
//	}
//
// # Writing
//
// Each Append function appends one whole frame: length, header, TLVs. Pushes and Sets
// make as many frames as the records need. All subscribers of a set share the octets of
// its messages; only the first octets differ, because they hold the id of the
// subscription:
//
//	for _, body := range dso.Sets(flags, revision, added, removed) {
//		prefix := body.Prefix(id)                // PrefixSize octets
//		buffers := net.Buffers{prefix[:], body}  // of one frame
//	}
//
// # The private messages
//
// RFC 8765 needs TLS, and its messages have no addresses of targets. FOLLOW, SET and
// UNFOLLOW are a subscription to the SRV records of one service, with addresses and
// revision, for any transport. Their types are of the range for private use (RFC 8490
// section 10.3). docs/dns-names.md describes them.
package dso
