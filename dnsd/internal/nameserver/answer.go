package nameserver

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// transport is how a query came.
type transport uint8

const (
	overUDP transport = iota
	overTCP
	overTLS
)

// responder answers one query at a time. Every UDP loop and every connection
// has its own, so that its buffers need no lock.
type responder struct {
	set     *settings
	limiter *limiter
	count   *counters
	now     uint32 // seconds since 1970: for cookies and rate limits

	q       query
	from    netip.Addr
	tr      transport
	proved  bool          // the client's address is not forged
	reserve int           // octets kept free for TSIG
	rcode   int           // of the answer written last
	key     string        // the TSIG key that the query proved to know, or ""
	idle    time.Duration // what keepalive tells the client; 0 outside of TCP

	// transfer is set by respond when the query is an allowed transfer over
	// TCP, which is more than one message: the connection sends it.
	transfer *transfer

	name      [256]byte // folded question name
	cookieBuf [clientCookieLen + serverCookieLen]byte
	packBuf   []byte
}

// respond appends the answer to msg and returns dst, unchanged when there is
// none. Over UDP the answer is never longer than the client allows.
func (r *responder) respond(dst, msg []byte, from netip.Addr, tr transport) []byte {
	r.from, r.tr, r.proved, r.reserve, r.key, r.transfer = from, tr, tr != overUDP, 0, "", nil
	q := &r.q
	base := len(dst)
	switch q.parse(msg) {
	case drop:
		r.count.dropped.Add(1)
		return dst
	case malformed:
		dst = r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
	case unknownOp:
		dst = r.short(dst, msg, dns.RcodeNotImplemented, 0, &noExtra)
	case parsed:
		if q.tsig {
			dst = r.signed(dst, msg)
		} else {
			dst = r.answer(dst, msg)
		}
		if r.transfer != nil {
			return dst
		}
	}
	if r.limiter != nil && !r.proved {
		dst = r.rateLimited(dst, base)
	}
	if len(dst) > base {
		r.count.answered(tr, q.qtype, r.rcode)
	}
	return dst
}

// answer answers a request that was read without fault.
func (r *responder) answer(dst, msg []byte) []byte {
	q := &r.q
	x := noExtra
	if q.cookie != nil {
		state, fresh := r.set.cookies.check(q.cookie, r.from, r.now)
		if state == cookieInvalid {
			return r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
		}
		r.proved = r.proved || state == cookieValid
		if fresh {
			x.cookie = r.set.cookies.appendCookie(r.cookieBuf[:0], q.cookie, r.from, r.now)
		} else {
			x.cookie = q.cookie
		}
	}
	if q.keepalive && r.tr != overUDP {
		x.keepalive = r.idle
	}
	switch {
	case q.version > 0:
		return r.short(dst, msg, dns.RcodeBadVers, 0, &x)
	case q.end == headerLen:
		return r.short(dst, msg, dns.RcodeSuccess, 0, &x) // a cookie alone
	case q.qclass != dns.ClassINET:
		x.ede, x.edeText = int(dns.ExtendedErrorCodeNotSupported), "class is not IN"
		return r.short(dst, msg, dns.RcodeRefused, 0, &x)
	}
	name := fold(r.name[:], q.name)
	z := r.set.find(name)
	if z == nil {
		x.ede = int(dns.ExtendedErrorCodeNotAuthoritative)
		return r.short(dst, msg, dns.RcodeRefused, 0, &x)
	}
	if q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR {
		return r.transferRequest(dst, msg, z, name, &x)
	}
	return r.readable(dst, msg, z, &x)
}

// readable asks the zone for records and packs them with miekg/dns.
func (r *responder) readable(dst, msg []byte, z *zoneEntry, x *extra) []byte {
	q := &r.q
	name, _, err := dns.UnpackDomainName(msg, headerLen)
	if err != nil {
		return r.short(dst, msg, dns.RcodeFormatError, 0, x)
	}
	// The name goes to lower case so that names compress against it whatever
	// its case; the reply's question is copied from the query.
	name = dns.CanonicalName(name)
	a := z.zone.Lookup(name, q.qtype)
	m := dns.Msg{
		Compress: true,
		Question: []dns.Question{{Name: name, Qtype: q.qtype, Qclass: q.qclass}},
		Answer:   a.Answer,
		Ns:       a.Authority,
		Extra:    a.Additional,
	}
	wire, err := m.PackBuffer(r.packBuf)
	if err != nil || len(wire) < q.end {
		r.count.failed.Add(1)
		r.set.log.Error("answer cannot be packed", "name", name, "type", q.qtype, "error", err)
		return r.short(dst, msg, dns.RcodeServerFailure, 0, x)
	}
	if cap(wire) <= maxPackBuf {
		r.packBuf = wire[:cap(wire)]
	}
	b := body{
		rcode: a.Rcode, records: wire[q.end:],
		answer: len(a.Answer), authority: len(a.Authority), additional: len(a.Additional),
	}
	if a.Sampled > 0 {
		b.sampled, b.total = a.Sampled, a.Total
	}
	return r.assemble(dst, msg, &b, x)
}

// maxPackBuf is what a responder keeps of its packing buffer between queries.
const maxPackBuf = 16 << 10

// body is what follows the question: records in wire form, compressed against
// a question at offset 12 in lower case.
type body struct {
	rcode                         int
	records                       []byte
	answer, authority, additional int
	sampled, total                int
}

// assemble writes header, question, as much of the body as fits, and OPT.
func (r *responder) assemble(dst, msg []byte, b *body, x *extra) []byte {
	q := &r.q
	x.rcode, r.rcode = b.rcode, b.rcode
	if b.sampled > 0 {
		x.ede, x.edeText = int(dns.ExtendedErrorCodeOther), sampledText(b.sampled, b.total)
	}
	limit := r.set.limit(q, r.tr) - r.reserve
	room := limit - q.end - r.optLength(x)
	records, an, ns, ar := b.records, b.answer, b.authority, b.additional
	flags := uint16(bitAA)
	if len(records) > room {
		var n int
		n, an, ns, ar = cut(records, an, ns, ar, room)
		records = records[:n]
		if an < b.answer || ns < b.authority {
			if r.tr == overUDP {
				flags |= bitTC
				x.ede = -1 // the client comes back over TCP, and is told there
				r.count.truncated.Add(1)
			} else if b.sampled == 0 {
				// A zone's sample leaves room for OPT and TSIG: this is
				// for one that does not.
				b.sampled, b.total = an, b.answer
				return r.assemble(dst, msg, b, x)
			}
		}
	}
	if b.sampled > 0 && flags&bitTC == 0 {
		r.count.sampled.Add(1)
	}
	base := len(dst)
	dst = r.appendHeader(dst, msg, b.rcode, flags, an, ns, ar)
	dst = append(dst, records...)
	return r.finish(dst, base, x)
}

// cut finds how much of records fits in room: additional records go first,
// from the end, then the others. Only whole records remain.
func cut(records []byte, an, ns, ar, room int) (n, keepAn, keepNs, keepAr int) {
	total := an + ns + ar
	kept := 0
	for kept < total {
		next := skipRecord(records, n)
		if next < 0 || next > room {
			break
		}
		n = next
		kept++
	}
	keepAn = min(kept, an)
	keepNs = min(kept-keepAn, ns)
	keepAr = kept - keepAn - keepNs
	return n, keepAn, keepNs, keepAr
}

// short answers without records.
func (r *responder) short(dst, msg []byte, rcode int, flags uint16, x *extra) []byte {
	y := *x
	y.rcode, r.rcode = rcode, rcode
	base := len(dst)
	dst = r.appendHeader(dst, msg, rcode, flags, 0, 0, 0)
	return r.finish(dst, base, &y)
}

func (r *responder) appendHeader(dst, msg []byte, rcode int, flags uint16, an, ns, ar int) []byte {
	q := &r.q
	flags |= bitQR | q.flags&(opcodeMask<<opcodeShift|bitRD|bitCD) | uint16(rcode&0xF)
	qd := byte(0)
	if q.end > headerLen {
		qd = 1
	}
	dst = append(dst, byte(q.id>>8), byte(q.id), byte(flags>>8), byte(flags),
		0, qd, byte(an>>8), byte(an), byte(ns>>8), byte(ns), byte(ar>>8), byte(ar))
	return append(dst, msg[headerLen:q.end]...)
}

// finish appends OPT to the message that begins at base.
func (r *responder) finish(dst []byte, base int, x *extra) []byte {
	q := &r.q
	if !q.edns {
		return dst
	}
	opt := len(dst)
	dst = r.set.appendOPT(dst, q, x)
	ar := dst[base+10 : base+12]
	binary.BigEndian.PutUint16(ar, binary.BigEndian.Uint16(ar)+1)
	if q.padding && r.tr == overTLS && r.reserve == 0 {
		dst = pad(dst, base, opt)
	}
	return dst
}

// optLength is what finish will append, padding apart.
func (r *responder) optLength(x *extra) int {
	q := &r.q
	if !q.edns {
		return 0
	}
	n := optLen
	if q.nsid && len(r.set.nsid) > 0 {
		n += 4 + len(r.set.nsid)
	}
	if len(x.cookie) > 0 {
		n += 4 + len(x.cookie)
	}
	if x.keepalive > 0 {
		n += 6
	}
	if x.ede >= 0 {
		n += 6 + len(x.edeText)
	}
	return n
}

// rateLimited replaces the answer at base when its client had its share.
func (r *responder) rateLimited(dst []byte, base int) []byte {
	if len(dst) == base || r.from.IsLoopback() {
		return dst
	}
	class := classError
	switch rcode := dst[base+3] & 0xF; {
	case rcode == dns.RcodeSuccess && dst[base+6]|dst[base+7] != 0:
		class = classAnswer
	case rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError:
		class = classNegative
	}
	switch r.limiter.take(r.from, class, r.now) {
	case limitDrop:
		r.count.limited.Add(1)
		return dst[:base]
	case limitSlip:
		r.count.slipped.Add(1)
		return r.slip(dst, base)
	default:
		return dst
	}
}

// slip turns the answer at base into one that is no longer than its query and
// that a real client can act on: BADCOOKIE with a fresh cookie when it knows
// cookies (RFC 7873 5.2.3), else TC.
func (r *responder) slip(dst []byte, base int) []byte {
	q := &r.q
	question := append([]byte(nil), dst[base:base+q.end]...)
	dst = dst[:base]
	if len(q.cookie) >= clientCookieLen {
		x := noExtra
		x.cookie = r.set.cookies.appendCookie(r.cookieBuf[:0], q.cookie, r.from, r.now)
		return r.short(dst, question, dns.RcodeBadCookie, 0, &x)
	}
	return r.short(dst, question, dns.RcodeSuccess, bitTC|bitAA, &noExtra)
}
