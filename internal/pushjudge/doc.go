// Package pushjudge is a second implementation of DNS Stateful Operations (RFC 8490), of
// DNS Push Notifications (RFC 8765), and of the private subscription in docs/dns-names.md,
// for tests. It was written from these texts, and shares no code with the other one: if
// both understand a rule alike, the text says it.
//
// A Client judges a server, a Server judges a client. Each has one connection and no
// goroutine: a method writes, or reads until it has what it waits for. The test sets
// deadlines on the connection. Whatever the other end may not do is an error that names the
// section; what it may do is applied, and can be asked for:
//
//	c := pushjudge.NewClient(conn)
//	id, rcode, err := c.Follow("_math._tcp.svc.")
//	err = c.Until(func() bool { return len(c.Records(id)) == 2 })
//
// To do what a client or a server may not, write octets to the connection: Message.Frame
// makes them.
package pushjudge
