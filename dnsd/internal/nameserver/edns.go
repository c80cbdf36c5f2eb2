package nameserver

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// padBlock is the block a padded answer over TLS is rounded up to: RFC 8467
// 4.1.
const padBlock = 468

// optionLen is what an option takes before its data (RFC 6891 6.1.2).
const optionLen = 4

// extra is what an answer's OPT record says besides the fixed fields.
type extra struct {
	rcode     int    // OPT holds only the upper eight of its twelve bits
	ede       int    // Extended DNS Error code (RFC 8914); -1 none
	edeText   string // for people
	stale     int    // another Extended DNS Error, for an answer that may be out of date; 0 none
	cookie    []byte // client and server cookie
	keepalive time.Duration
}

// noExtra is what most answers say: nothing.
var noExtra = extra{ede: -1}

// appendOPT appends the OPT record of the answer to q, and nothing if q had none. The
// order of the options is fixed, so that both paths give the same octets.
func (set *settings) appendOPT(dst []byte, q *query, x *extra) []byte {
	if !q.edns {
		return dst
	}
	var do byte
	if q.do {
		do = 0x80 // RFC 3225 3: copied
	}
	dst = append(dst, 0, 0, byte(dns.TypeOPT), byte(set.MaxUDP>>8), byte(set.MaxUDP), byte(x.rcode>>4), 0, do, 0, 0, 0)
	at := len(dst)
	if q.nsid && len(set.nsid) > 0 {
		dst = appendOption(dst, dns.EDNS0NSID, len(set.nsid))
		dst = append(dst, set.nsid...)
	}
	if len(x.cookie) > 0 {
		dst = appendOption(dst, dns.EDNS0COOKIE, len(x.cookie))
		dst = append(dst, x.cookie...)
	}
	if x.keepalive > 0 {
		// RFC 7828 3.1: in units of 100 milliseconds.
		dst = appendOption(dst, dns.EDNS0TCPKEEPALIVE, 2)
		dst = binary.BigEndian.AppendUint16(dst, uint16(min(x.keepalive/(100*time.Millisecond), 0xFFFF)))
	}
	if x.ede >= 0 {
		dst = appendOption(dst, dns.EDNS0EDE, 2+len(x.edeText))
		dst = binary.BigEndian.AppendUint16(dst, uint16(x.ede))
		dst = append(dst, x.edeText...)
	}
	if x.stale > 0 {
		dst = appendOption(dst, dns.EDNS0EDE, 2)
		dst = binary.BigEndian.AppendUint16(dst, uint16(x.stale))
	}
	binary.BigEndian.PutUint16(dst[at-2:], uint16(len(dst)-at))
	return dst
}

// optLength is how many octets appendOPT appends.
func (set *settings) optLength(q *query, x *extra) int {
	if !q.edns {
		return 0
	}
	n := optLen
	if q.nsid && len(set.nsid) > 0 {
		n += optionLen + len(set.nsid)
	}
	if len(x.cookie) > 0 {
		n += optionLen + len(x.cookie)
	}
	if x.keepalive > 0 {
		n += optionLen + 2
	}
	if x.ede >= 0 {
		n += optionLen + 2 + len(x.edeText)
	}
	if x.stale > 0 {
		n += optionLen + 2
	}
	return n
}

func appendOption(dst []byte, code uint16, length int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	return binary.BigEndian.AppendUint16(dst, uint16(length))
}

// pad rounds a whole answer over TLS up to a block (RFC 7830, 8467). Its last record
// is the OPT that begins at opt, and it begins at base.
func pad(dst []byte, base, opt int) []byte {
	n := len(dst) - base + 4
	fill := (padBlock - n%padBlock) % padBlock
	if n+fill > maxTCP {
		return dst
	}
	dst = appendOption(dst, dns.EDNS0PADDING, fill)
	for range fill {
		dst = append(dst, 0)
	}
	binary.BigEndian.PutUint16(dst[opt+9:], uint16(len(dst)-opt-optLen))
	return dst
}

// limit is the largest answer that q may get.
func (set *settings) limit(q *query, tr transport) int {
	switch {
	case tr != overUDP:
		return maxTCP
	case !q.edns:
		return minUDP
	default:
		// RFC 6891 6.2.3: values below 512 mean 512.
		return min(max(int(q.size), minUDP), set.MaxUDP)
	}
}

func sampledText(sampled, total int) string {
	return fmt.Sprintf("weighted sample: %d of %d records", sampled, total)
}
