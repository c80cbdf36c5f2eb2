package nameserver

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// transport is what a query came over.
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
	zone    *zoneEntry    // the zone of the question, nil: none
	key     string        // the TSIG key that signed the query, or ""
	idle    time.Duration // what keepalive tells the client; 0 over UDP

	// transfer is set by respond when the query is an allowed transfer over
	// TCP, which is more than one message: the connection sends it.
	transfer *transfer

	cookieBuf [clientCookieLen + serverCookieLen]byte

	byRecords bool // answer without images: for tests
}

// respond appends the answer to msg, and returns dst unchanged if there is none. Over
// UDP the answer is never longer than the client allows.
func (r *responder) respond(dst, msg []byte, from netip.Addr, tr transport) []byte {
	r.from, r.tr, r.proved, r.reserve, r.zone, r.key, r.transfer = from, tr, tr != overUDP, 0, nil, "", nil
	q := &r.q
	base := len(dst)
	switch q.parse(msg) {
	case drop:
		r.count.dropped.Add(1)
		return dst
	case malformed:
		dst = r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
	case unknownOp:
		if q.tsigAt > 0 {
			dst = r.signed(dst, msg)
		} else {
			dst = r.short(dst, msg, dns.RcodeNotImplemented, 0, &noExtra)
		}
	case parsed:
		if q.tsigAt > 0 {
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

// answer answers a request that parse accepted.
func (r *responder) answer(dst, msg []byte) []byte {
	q := &r.q
	x := noExtra
	if q.cookie != nil {
		state, fresh := r.set.cookies.check(q.cookie, r.from, r.now)
		r.proved = r.proved || state == cookieValid
		switch {
		case state == cookieInvalid && q.version == 0:
			return r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
		case state == cookieInvalid: // it may be valid in another version
		case fresh:
			x.cookie = r.set.cookies.appendCookie(r.cookieBuf[:0], q.cookie, r.from, r.now)
		default:
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
	case q.qclass == dns.ClassCHAOS && r.asksServerID():
		return r.serverID(dst, msg, &x)
	case q.qclass != dns.ClassINET && (q.qclass != dns.ClassANY || q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR):
		x.ede, x.edeText = int(dns.ExtendedErrorCodeNotSupported), "class is not IN"
		return r.short(dst, msg, dns.RcodeRefused, 0, &x)
	}
	z := r.set.find(q.name)
	r.zone = z
	switch {
	case z == nil:
		x.ede = int(dns.ExtendedErrorCodeNotAuthoritative)
		return r.short(dst, msg, dns.RcodeRefused, 0, &x)
	case z.zone.Absent():
		return r.notReady(dst, msg, &x)
	case q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR:
		return r.transferRequest(dst, msg, z, &x)
	}
	return r.fromZone(dst, msg, z, q.qtype, &x)
}

// fromZone lets the zone answer with the records of a type: from its images if they
// can answer the question, otherwise by records.
func (r *responder) fromZone(dst, msg []byte, z *zoneEntry, qtype uint16, x *extra) []byte {
	q := &r.q
	base := len(dst)
	dst = r.appendHeader(dst, msg)
	limit := r.room(x)
	// Offsets in a message count from its header, so the zone gets the message
	// alone. What it returns may be in other memory.
	out, c, ok := dst[base:], zone.Counts{}, false
	if !r.byRecords {
		out, c, ok = z.zone.AppendAnswer(out, q.name, qtype, limit)
	}
	if !ok {
		// The images have no answer, or a test wants none: this gives the same octets.
		name, _, err := dns.UnpackDomainName(msg, headerLen)
		if err == nil {
			out, c, err = zone.Pack(out, z.zone.Lookup(name, qtype), limit)
		}
		if err != nil {
			r.fault("answer cannot be packed", "name", name, "type", qtype, "error", err)
			return r.short(dst[:base], msg, dns.RcodeServerFailure, 0, x)
		}
	}
	return r.complete(rejoin(dst, base, out), base, c, x)
}

// notReady answers for a zone without content. A client that got NXDOMAIN would take the
// service for gone; after SERVFAIL it asks another server, or again.
func (r *responder) notReady(dst, msg []byte, x *extra) []byte {
	x.ede = int(dns.ExtendedErrorCodeNotReady) // RFC 8914 section 4.15
	return r.short(dst, msg, dns.RcodeServerFailure, 0, x)
}

// tellEvery is how often something is logged that any client can cause.
const tellEvery = time.Minute

// refused and fault log what a query caused, at most once a minute for each loop: a
// client must not fill the disk, nor make the loop wait for it. The counters tell how
// often it happened.
func (r *responder) refused(msg string, args ...any) {
	if r.first(&r.count.refusalTold) {
		r.set.log.Warn(msg, args...)
	}
}

func (r *responder) fault(msg string, args ...any) {
	r.count.failed.Add(1)
	if r.first(&r.count.failureTold) {
		r.set.log.Error(msg, args...)
	}
}

// first tells whether this is the first call in this minute.
func (r *responder) first(told *atomic.Uint32) bool {
	last := told.Load()
	return r.now-last >= uint32(tellEvery/time.Second) && told.CompareAndSwap(last, r.now)
}

// room is how long a message may be before OPT and TSIG.
func (r *responder) room(x *extra) int {
	return r.set.limit(&r.q, r.tr) - r.reserve - r.set.optLength(&r.q, x)
}

// rejoin appends message to dst[:base]. It is already there, unless it grew.
func rejoin(dst []byte, base int, message []byte) []byte {
	if &dst[base] == &message[0] {
		return dst[:base+len(message)]
	}
	return append(dst[:base], message...)
}

// complete writes the header of an authoritative answer and appends OPT.
func (r *responder) complete(dst []byte, base int, c zone.Counts, x *extra) []byte {
	flags := uint16(bitAA)
	if r.q.qclass == dns.ClassANY {
		flags = 0 // RFC 1035 6.2: no server has authority over all classes
	}
	if c.TC {
		flags |= bitTC
	}
	if c.Sampled > 0 {
		r.count.sampled.Add(1)
		text := sampledText(c.Sampled, c.Total)
		if r.q.edns && len(dst)-base+6+len(text) <= r.room(x) {
			x.ede, x.edeText = int(dns.ExtendedErrorCodeOther), text
		} else {
			flags |= bitTC // RFC 2181 9: it has no other sign that there is more
		}
	}
	if flags&bitTC != 0 {
		r.count.truncated.Add(1)
	}
	// Only if there is room: no record is left out for it. A transfer over UDP, which is
	// the SOA alone, is as one over TCP.
	if r.zone.zone.Stale() && len(dst)-base+optionLen+2 <= r.room(x) && r.q.qtype != dns.TypeIXFR {
		x.stale = int(dns.ExtendedErrorCodeStaleAnswer) // RFC 8914 section 4.4
		if c.Rcode == dns.RcodeNameError {
			x.stale = int(dns.ExtendedErrorCodeStaleNXDOMAINAnswer) // section 4.20
		}
	}
	x.rcode = c.Rcode
	r.setHeader(dst[base:], c.Rcode, flags, c.AN, c.NS, c.AR)
	return r.finish(dst, base, x)
}

// short answers without records.
func (r *responder) short(dst, msg []byte, rcode int, flags uint16, x *extra) []byte {
	y := *x
	y.rcode = rcode
	base := len(dst)
	dst = r.appendHeader(dst, msg)
	r.setHeader(dst[base:], rcode, flags, 0, 0, 0)
	return r.finish(dst, base, &y)
}

// appendHeader appends room for the header, and the question as the client sent it.
func (r *responder) appendHeader(dst, msg []byte) []byte {
	return append(dst, msg[:r.q.end]...)
}

// setHeader writes the header of a message.
func (r *responder) setHeader(m []byte, rcode int, flags uint16, an, ns, ar int) {
	q := &r.q
	r.rcode = rcode
	flags |= bitQR | q.flags&(opcodeMask<<opcodeShift|bitRD|bitCD) | uint16(rcode&0xF)
	qd := byte(0)
	if q.end > headerLen {
		qd = 1
	}
	_ = m[11]
	m[0], m[1], m[2], m[3] = byte(q.id>>8), byte(q.id), byte(flags>>8), byte(flags)
	m[4], m[5], m[6], m[7] = 0, qd, byte(an>>8), byte(an)
	m[8], m[9], m[10], m[11] = byte(ns>>8), byte(ns), byte(ar>>8), byte(ar)
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

// rateLimited replaces the answer at base if its client has had its share.
func (r *responder) rateLimited(dst []byte, base int) []byte {
	if len(dst) == base || r.limiter.free(r.from) {
		return dst
	}
	class, what := classError, []byte(nil)
	var buf [2 + 255]byte
	switch rcode := dst[base+3] & 0xF; {
	case rcode == dns.RcodeSuccess && dst[base+6]|dst[base+7] != 0:
		class, what = classAnswer, r.q.fold(buf[:0])
	case r.zone != nil && (rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError):
		class, what = classNegative, r.zone.wire
	}
	if r.limiter.take(r.from, class, what, r.now) {
		return dst
	}
	r.count.limited.Add(1)
	return r.slip(dst, base)
}

// slip replaces the answer at base by one that is no longer than its query, apart
// from the 16 octets of a server cookie, and that a real client can act on: BADCOOKIE
// with a fresh cookie if it knows cookies (RFC 7873 5.2.3), otherwise TC.
func (r *responder) slip(dst []byte, base int) []byte {
	q := &r.q
	q.nsid = false
	question := append([]byte(nil), dst[base:base+q.end]...)
	dst = dst[:base]
	if len(q.cookie) >= clientCookieLen {
		x := noExtra
		x.cookie = r.set.cookies.appendCookie(r.cookieBuf[:0], q.cookie, r.from, r.now)
		return r.short(dst, question, dns.RcodeBadCookie, 0, &x)
	}
	return r.short(dst, question, dns.RcodeSuccess, bitTC|bitAA, &noExtra)
}
