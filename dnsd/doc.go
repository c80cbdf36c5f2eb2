// Package dnsd is Rollcall's server: a small authoritative DNS server for the
// instances that register themselves with it over HTTP.
//
// Most programs run the command, dnsd/cmd/dnsd. A test, or a program that wants
// discovery inside itself, embeds it:
//
//	s, err := dnsd.New(dnsd.Config{})  // opens stores and sockets
//	if err != nil {
//		return err
//	}
//	go s.Run(ctx)                      // serves until ctx ends
//	s.DNSAddr(), s.HookURL()           // its addresses
//
// The zero Config is the default server: zone svc., DNS on 127.0.0.1:5300 (UDP
// and TCP), the hook on http://127.0.0.1:8053, registrations in memory. Port 0
// in an address means any free port; the chosen one is readable after New.
//
// # The way of a change
//
// A request to the hook becomes a change in the registry. The registry stores it, then
// hands it to the zones, in order of revision, and the name servers answer from the
// zones. Only then the hook answers the request. So an instance is in DNS when its PUT
// is answered.
//
// # Configuration
//
// A [Config] is made in Go or read from a Corefile by [ParseCorefile]; the
// directives are explained in docs/corefile.md. [Config.Check] says what is wrong
// with a Config, and [Server.Reload] takes a new one while queries run: a socket whose
// address did not change stays open, a store whose path did not change stays open, and
// a configuration that cannot be applied changes nothing.
//
// # Several dnsd
//
// A block with a [SharedStore] shares its registrations with other dnsd: it is a member of
// their cluster. One member is the writer, and the others follow it. New does not wait for
// the store: until it answers, the zones have no content, DNS answers SERVFAIL, and
// /readyz says why. Config.Stores opens such stores; the one on etcd is in the module
// dnsd/cluster.
//
// # Standards
//
// RFC 1034/1035 (DNS), 2782 (SRV), 2181 (clarifications), 2308 (negative
// answers), 6891 (EDNS), 5936 and 1995 (zone transfer), 1996 (NOTIFY), 8945
// (TSIG), 6763 (DNS-SD names), 9457 (problem details of the hook).
package dnsd
