package nameserver

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// tsigFudge is how far the clocks may be apart: RFC 8945 10 recommends 300 s.
const tsigFudge = 300

// signer signs answers to one request (RFC 8945 5.3).
type signer struct {
	key tsigKey
	mac string // of the request, then of the answer signed last; hex
	n   int    // answers signed
}

// sign packs m with a TSIG record. The first answer covers the request's MAC,
// each further one of the same stream the MAC before it and the timers only
// (RFC 8945 5.3.1).
func (s *signer) sign(m *dns.Msg) ([]byte, error) {
	m.Extra = append(m.Extra, tsigStub(s.key, m.Id, dns.RcodeSuccess))
	wire, mac, err := dns.TsigGenerate(m, s.key.secret, s.mac, s.n > 0)
	if err != nil {
		return nil, fmt.Errorf("nameserver: sign answer: %w", err)
	}
	s.mac = mac
	s.n++
	return wire, nil
}

func tsigStub(k tsigKey, id uint16, code int) *dns.TSIG {
	return &dns.TSIG{
		Hdr:        dns.RR_Header{Name: k.name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm:  k.algorithm,
		TimeSigned: uint64(time.Now().Unix()),
		Fudge:      tsigFudge,
		OrigId:     id,
		Error:      uint16(code),
	}
}

// length is what sign adds to a message at most.
func (k tsigKey) length() int {
	mac := map[string]int{dns.HmacSHA1: 20, dns.HmacSHA224: 28, dns.HmacSHA256: 32, dns.HmacSHA384: 48, dns.HmacSHA512: 64}[k.algorithm]
	return len(k.name) + 1 + 10 + len(k.algorithm) + 1 + 16 + mac + 6
}

// signed answers a request with a TSIG record, and signs the answer.
func (r *responder) signed(dst, msg []byte) []byte {
	var m dns.Msg
	if err := m.Unpack(msg); err != nil {
		return r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
	}
	t := m.IsTsig()
	if t == nil {
		return r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
	}
	name := dns.CanonicalName(t.Hdr.Name)
	key, ok := r.set.keys[name]
	if !ok || key.algorithm != dns.CanonicalName(t.Algorithm) {
		return r.tsigError(dst, msg, t, dns.RcodeBadKey, tsigKey{name: name, algorithm: dns.CanonicalName(t.Algorithm)})
	}
	// Verify changes its argument.
	switch err := dns.TsigVerify(slices.Clone(msg), key.secret, "", false); {
	case errors.Is(err, dns.ErrTime):
		return r.tsigError(dst, msg, t, dns.RcodeBadTime, key)
	case err != nil:
		return r.tsigError(dst, msg, t, dns.RcodeBadSig, key)
	}
	r.key, r.proved, r.reserve = name, true, key.length()
	s := &signer{key: key, mac: t.MAC}
	base := len(dst)
	dst = r.answer(dst, msg)
	if r.transfer != nil {
		r.transfer.signer = s
		return dst
	}
	var reply dns.Msg
	if err := reply.Unpack(dst[base:]); err != nil {
		return r.signFailed(dst[:base], msg, err)
	}
	reply.Compress = true
	wire, err := s.sign(&reply)
	if err != nil {
		return r.signFailed(dst[:base], msg, err)
	}
	return append(dst[:base], wire...)
}

func (r *responder) signFailed(dst, msg []byte, err error) []byte {
	r.fault("answer cannot be signed", "error", err)
	return r.short(dst, msg, dns.RcodeServerFailure, 0, &noExtra)
}

// tsigError answers NOTAUTH with the TSIG record that says why (RFC 8945 5.2).
// Only BADTIME is signed: the other two cannot be.
func (r *responder) tsigError(dst, msg []byte, request *dns.TSIG, code int, key tsigKey) []byte {
	r.count.tsigErrors.Add(1)
	r.refused("TSIG refused", "key", key.name, "from", r.from, "error", dns.RcodeToString[code])
	base := len(dst)
	// No OPT: whoever asked is not known, and gets no more than the reason.
	edns := r.q.edns
	r.q.edns = false
	dst = r.short(dst, msg, dns.RcodeNotAuth, 0, &noExtra)
	r.q.edns = edns
	var m dns.Msg
	if err := m.Unpack(dst[base:]); err != nil {
		return dst
	}
	stub := tsigStub(key, m.Id, code)
	stub.TimeSigned = request.TimeSigned
	if code == dns.RcodeBadTime {
		// RFC 8945 5.2.3: the client's time, and ours in Other Data.
		var now [8]byte
		binary.BigEndian.PutUint64(now[:], uint64(time.Now().Unix()))
		stub.OtherData, stub.OtherLen = hex.EncodeToString(now[2:]), 6
	}
	m.Extra = append(m.Extra, stub)
	wire, _, err := dns.TsigGenerate(&m, key.secret, request.MAC, false)
	if err != nil || r.tr == overUDP && len(wire) > r.set.limit(&r.q, r.tr) {
		return dst // the rcode has to do: the names may be the client's, and long
	}
	return append(dst[:base], wire...)
}
