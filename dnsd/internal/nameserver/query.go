package nameserver

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// Header bits, in the two octets after the ID (RFC 1035 4.1.1).
const (
	bitQR = 1 << 15
	bitAA = 1 << 10
	bitTC = 1 << 9
	bitRD = 1 << 8
	bitCD = 1 << 4

	opcodeShift = 11
	opcodeMask  = 0xF

	headerLen = 12
	optLen    = 11 // an OPT record without options (RFC 6891 6.1.2)
)

// verdict is what parse found.
type verdict uint8

const (
	parsed    verdict = iota
	drop              // no answer: too short, or a response
	malformed         // FORMERR
	unknownOp         // NOTIMP
)

// query is one parsed request. Its slices refer to the packet.
type query struct {
	id    uint16
	flags uint16

	// end is where the question ends; headerLen if there is none to echo.
	end    int
	name   []byte // wire form, case as received, with the root label
	qtype  uint16
	qclass uint16

	edns    bool
	version uint8
	do      bool
	size    uint16 // of the largest answer that the client takes

	// Options. Unknown ones are ignored (RFC 6891 6.1.2).
	cookie    []byte // nil: none
	nsid      bool
	keepalive bool
	padding   bool

	authority int // where the authority section begins, for IXFR
	tsigAt    int // where the TSIG record begins; 0: there is none
}

// parse reads msg as a request. It allocates nothing, and accepts only what RFC 1035
// and its updates allow: miekg/dns reads the same in it.
func (q *query) parse(msg []byte) verdict {
	*q = query{end: headerLen}
	if len(msg) < headerLen {
		return drop
	}
	q.id = binary.BigEndian.Uint16(msg)
	q.flags = binary.BigEndian.Uint16(msg[2:])
	if q.flags&bitQR != 0 {
		// Never answer an answer: two servers would answer each other for ever.
		return drop
	}
	counts := binary.BigEndian.Uint64(msg[4:])
	qd, an := uint16(counts>>48), uint16(counts>>32)
	ns, ar := uint16(counts>>16), uint16(counts)
	if qd == 1 && !q.question(msg) {
		return malformed
	}
	off := q.end
	if q.opcode() != dns.OpcodeQuery {
		q.findOPT(msg, off, int(an)+int(ns), int(ar))
		return unknownOp
	}
	// A query has no answers, and an authority record only to say from where
	// an IXFR starts (RFC 1995 3).
	if qd > 1 || an != 0 || ns > 1 || (ns == 1 && q.qtype != dns.TypeIXFR) {
		return malformed
	}
	q.authority = off
	if ns == 1 {
		if off = skipRecord(msg, off); off < 0 {
			return malformed
		}
	}
	for ; ar > 0; ar-- {
		if off = q.additional(msg, off, ar == 1); off < 0 {
			return malformed
		}
	}
	if off != len(msg) {
		return malformed
	}
	// RFC 7873 5.4 lets a client ask for a cookie alone, without a question; and
	// what another version of EDNS allows is not known.
	if qd == 0 && len(q.cookie) == 0 && q.version == 0 {
		return malformed
	}
	return parsed
}

func (q *query) opcode() int { return int(q.flags>>opcodeShift) & opcodeMask }

// fold appends type and name of the question, in lower case.
func (q *query) fold(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, q.qtype)
	for _, c := range q.name {
		if c-'A' < 26 {
			c |= 0x20 // length octets are below 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// findOPT looks for OPT in a message of an unknown opcode, because a request with OPT
// gets an answer with OPT (RFC 6891 6.1.1). The other records do not matter.
func (q *query) findOPT(msg []byte, off, before, additional int) {
	for ; before > 0 && off >= 0; before-- {
		off = skipRecord(msg, off)
	}
	for ; additional > 0 && off >= 0; additional-- {
		off = q.additional(msg, off, additional == 1)
	}
	q.cookie = nil
}

// question reads the only question. A compression pointer is malformed: there is no
// earlier name to point to.
func (q *query) question(msg []byte) bool {
	off := headerLen
	for {
		if off >= len(msg) {
			return false
		}
		c := int(msg[off])
		off++
		if c == 0 {
			break
		}
		off += c
		if c > 63 || off-headerLen > 254 {
			return false
		}
	}
	if off+4 > len(msg) {
		return false
	}
	q.name = msg[headerLen:off]
	q.qtype = binary.BigEndian.Uint16(msg[off:])
	q.qclass = binary.BigEndian.Uint16(msg[off+2:])
	q.end = off + 4
	return true
}

// additional reads one record of the additional section, and skips it unless it is
// OPT or TSIG. It returns the offset after it, or -1.
func (q *query) additional(msg []byte, off int, last bool) int {
	root := off < len(msg) && msg[off] == 0
	end := skipRecord(msg, off)
	if end < 0 {
		return -1
	}
	fixed := skipName(msg, off)
	rrtype := binary.BigEndian.Uint16(msg[fixed:])
	switch rrtype {
	case dns.TypeOPT:
		if q.edns || !root {
			return -1
		}
		q.edns = true
		q.size = binary.BigEndian.Uint16(msg[fixed+2:])
		q.version = msg[fixed+5]
		q.do = msg[fixed+6]&0x80 != 0
		if !q.options(msg[fixed+10:end]) && q.version == 0 {
			return -1 // the form of another version's options is not known
		}
	case dns.TypeTSIG:
		if !last {
			return -1 // RFC 8945 5.1: it is the last record, or FORMERR
		}
		q.tsigAt = off
	}
	return end
}

// options reads the options of OPT (RFC 6891 6.1.2).
func (q *query) options(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		code := binary.BigEndian.Uint16(data)
		n := int(binary.BigEndian.Uint16(data[2:]))
		if len(data) < 4+n {
			return false
		}
		value := data[4 : 4+n]
		data = data[4+n:]
		switch code {
		case dns.EDNS0COOKIE:
			if q.cookie == nil { // RFC 7873 5.2: only the first counts
				q.cookie = value
			}
		case dns.EDNS0NSID:
			q.nsid = true
		case dns.EDNS0TCPKEEPALIVE:
			q.keepalive = true
		case dns.EDNS0PADDING:
			q.padding = true
		}
	}
	return true
}

// skipRecord returns the offset after the record at off, or -1.
func skipRecord(msg []byte, off int) int {
	off = skipName(msg, off)
	if off < 0 || off+10 > len(msg) {
		return -1
	}
	off += 10 + int(binary.BigEndian.Uint16(msg[off+8:]))
	if off > len(msg) {
		return -1
	}
	return off
}

// skipName returns the offset after the name at off, or -1. It does not follow
// pointers.
func skipName(msg []byte, off int) int {
	for off >= 0 && off < len(msg) {
		switch c := int(msg[off]); {
		case c == 0:
			return off + 1
		case c < 64:
			off += 1 + c
		case c >= 0xC0 && off+2 <= len(msg):
			return off + 2
		default:
			return -1
		}
	}
	return -1
}

// Tests: fuzz_test.go, golden_test.go.
