package nameserver

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// transferSize is the size at which a message of a transfer is sent. Compression
// pointers reach 16 KiB (RFC 1035 4.1.4): in a longer message they would not help.
const transferSize = 16 << 10

// transferCounts count transfers and notifications of all zones.
type transferCounts struct {
	axfr, ixfr, fallback, failed, notified, notifyFailed atomic.Uint64
}

// transfer is one AXFR or IXFR that was allowed.
type transfer struct {
	id       uint16
	flags    uint16
	question dns.Question
	edns     bool
	do       bool
	maxUDP   int
	zone     *zone.Zone
	signer   *signer // nil: not signed
	ixfr     bool
	serial   uint32 // the client's, for IXFR
}

// allowed tells whether the client may copy z.
func (r *responder) allowed(z *zoneEntry) bool {
	for _, p := range z.secondaries {
		if p.Key != "" && p.Key != r.key {
			continue
		}
		switch {
		case p.Prefix.IsValid():
			if p.Prefix.Contains(r.from) {
				return true
			}
		case p.Key != "":
			return true
		}
	}
	return false
}

// transferRequest answers AXFR and IXFR. Over TCP an allowed one is left in
// r.transfer for the connection to send.
func (r *responder) transferRequest(dst, msg []byte, z *zoneEntry, x *extra) []byte {
	q := &r.q
	if len(q.name) != len(z.wire) {
		return r.short(dst, msg, dns.RcodeNotAuth, 0, x) // RFC 5936 2.2.1
	}
	if !r.allowed(z) {
		x.ede, x.edeText = int(dns.ExtendedErrorCodeProhibited), "transfer is not allowed from here"
		r.count.transfersRefused.Add(1)
		return r.short(dst, msg, dns.RcodeRefused, 0, x)
	}
	presentation, _, err := dns.UnpackDomainName(msg, headerLen)
	if err != nil {
		return r.short(dst, msg, dns.RcodeFormatError, 0, x)
	}
	t := &transfer{
		id: q.id, flags: q.flags, edns: q.edns, do: q.do, maxUDP: r.set.MaxUDP, zone: z.zone,
		question: dns.Question{Name: presentation, Qtype: q.qtype, Qclass: q.qclass},
	}
	if q.qtype == dns.TypeAXFR {
		if r.tr == overUDP {
			// RFC 5936 4.2: AXFR over UDP is not defined.
			x.ede, x.edeText = int(dns.ExtendedErrorCodeNotSupported), "AXFR needs TCP"
			return r.short(dst, msg, dns.RcodeFormatError, 0, x)
		}
		r.transfer = t
		return dst
	}
	rr, _, err := dns.UnpackRR(msg, q.authority)
	soa, ok := rr.(*dns.SOA)
	if q.authority == len(msg) || err != nil || !ok {
		return r.short(dst, msg, dns.RcodeFormatError, 0, x) // RFC 1995 3: the client's SOA is needed
	}
	t.ixfr, t.serial = true, soa.Serial
	if r.tr != overUDP {
		r.transfer = t
		return dst
	}
	// The current SOA alone makes the client come back over TCP (RFC 1995 section
	// 2). A packet with the forged address of a secondary must not make the loop
	// compute a difference while all other clients wait.
	return r.fromZone(dst, msg, z, dns.TypeSOA, x)
}

// newer tells whether serial a is after b (RFC 1982 3.2). The RFC does not compare
// serials exactly half the space apart; here a is then newer, and the client gets the
// whole zone.
func newer(a, b uint32) bool { return a != b && a-b <= 1<<31 }

// difference is the answer of IXFR (RFC 1995 4).
func difference(d *zone.Delta) iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		_ = yield(d.To) && yield(d.From) && each(d.Removed, yield) && yield(d.To) && each(d.Added, yield) && yield(d.To)
	}
}

func each(rrs []dns.RR, yield func(dns.RR) bool) bool {
	for _, rr := range rrs {
		if !yield(rr) {
			return false
		}
	}
	return true
}

// transferKind is what was sent.
type transferKind uint8

const (
	sentSOA  transferKind = iota // the client has the newest version
	sentIXFR                     // differences
	sentAXFR                     // the whole zone
)

// current is the current SOA.
func (t *transfer) current() *dns.SOA {
	soa, _ := t.zone.Transfer()
	return soa
}

// delta is the difference from the client's serial; nil if there is none, or if the
// whole zone is shorter.
func (t *transfer) delta() *zone.Delta {
	if !newer(t.zone.Serial(), t.serial) {
		return nil
	}
	d, _ := t.zone.Journal(t.serial)
	return d
}

// records chooses what to send, all from one version of the zone.
func (t *transfer) records() (transferKind, iter.Seq[dns.RR]) {
	if t.ixfr {
		if d := t.delta(); d != nil {
			return sentIXFR, difference(d)
		}
		if soa := t.current(); !newer(soa.Serial, t.serial) {
			return sentSOA, func(yield func(dns.RR) bool) { yield(soa) }
		}
	}
	soa, rest := t.zone.Transfer()
	return sentAXFR, func(yield func(dns.RR) bool) {
		if !yield(soa) {
			return
		}
		for rr := range rest {
			if !yield(rr) {
				return
			}
		}
		yield(soa)
	}
}

// send sends the whole transfer with write, message by message.
func (t *transfer) send(ctx context.Context, write func([]byte) error) (transferKind, error) {
	kind, records := t.records()
	var batch []dns.RR
	size, first := 0, true
	var failed error
	flush := func() bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		var wire []byte
		if wire, failed = t.pack(batch, first); failed != nil {
			return false
		}
		if failed = write(wire); failed != nil {
			return false
		}
		batch, size, first = batch[:0], 0, false
		return true
	}
	for rr := range records {
		n := dns.Len(rr)
		if size+n > transferSize && len(batch) > 0 && !flush() {
			break
		}
		batch = append(batch, rr)
		size += n
	}
	if failed == nil {
		flush()
	}
	if failed != nil {
		return kind, fmt.Errorf("nameserver: transfer %s: %w", t.question.Name, failed)
	}
	return kind, nil
}

// pack builds one message. Only the first repeats the question and carries OPT
// (RFC 5936 2.2).
func (t *transfer) pack(batch []dns.RR, first bool) ([]byte, error) {
	m := dns.Msg{Compress: true, Answer: batch}
	m.Id, m.Response, m.Authoritative = t.id, true, true
	m.RecursionDesired = t.flags&bitRD != 0
	if first {
		m.Question = []dns.Question{t.question}
		if t.edns {
			m.SetEdns0(uint16(t.maxUDP), t.do)
		}
	}
	wire, err := m.Pack()
	if err != nil || t.signer == nil {
		return wire, err
	}
	return t.signer.sign(wire, 0), nil
}
