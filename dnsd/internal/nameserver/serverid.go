package nameserver

import (
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// serverIDNames ask for the name of the server in class CH (RFC 4892 section 2). There
// are no names that ask for the program and its version: they would help an attacker.
var serverIDNames = [][]byte{[]byte("\x02id\x06server\x00"), []byte("\x08hostname\x04bind\x00")}

// asksServerID tells whether the question of class CH has an answer: the NSID.
func (r *responder) asksServerID() bool {
	q := &r.q
	return len(r.set.nsid) > 0 && (q.qtype == dns.TypeTXT || q.qtype == dns.TypeANY) &&
		slices.ContainsFunc(serverIDNames, func(n []byte) bool { return len(n) == len(q.name) && equalFold(q.name, n) })
}

// serverID answers it.
func (r *responder) serverID(dst, msg []byte, x *extra) []byte {
	base, n := len(dst), len(r.set.nsid)
	dst = r.appendHeader(dst, msg)
	dst = append(dst, 0xc0, headerLen, 0, byte(dns.TypeTXT), 0, byte(dns.ClassCHAOS), 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(1+n))
	dst = append(append(dst, byte(n)), r.set.nsid...)
	r.setHeader(dst[base:], dns.RcodeSuccess, bitAA, 1, 0, 0)
	return r.finish(dst, base, x)
}

// Tests: golden_test.go.
