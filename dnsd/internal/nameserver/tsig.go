package nameserver

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is sound, and what old secondaries have
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// tsigFudge is how many seconds the clocks may differ: RFC 8945 10 recommends 300.
const tsigFudge = 300

// tsigKey is a secret with its names, as text and as in packets.
type tsigKey struct {
	name, algorithm string // FQDNs in lower case
	text            string // the secret in base64, for miekg/dns
	secret          []byte
	owner, method   []byte // name and algorithm on the wire
}

// tsigHashes are the algorithms of RFC 8945 section 6 that are still in use.
var tsigHashes = map[string]func() hash.Hash{
	dns.HmacSHA1: sha1.New, dns.HmacSHA224: sha256.New224, dns.HmacSHA256: sha256.New,
	dns.HmacSHA384: sha512.New384, dns.HmacSHA512: sha512.New,
}

func parseKeys(given map[string]Key) (map[string]*tsigKey, error) {
	keys := make(map[string]*tsigKey, len(given))
	for name, g := range given {
		k := &tsigKey{name: dns.CanonicalName(name), algorithm: dns.CanonicalName(cmp.Or(g.Algorithm, "hmac-sha256")), text: strings.TrimSpace(g.Secret)}
		bad := func(format string, args ...any) (map[string]*tsigKey, error) {
			return nil, setting.Of("TSIG", name, fmt.Errorf(format, args...))
		}
		if k.owner = wireName(k.name); k.owner == nil {
			return bad("%q is not a domain name", name)
		}
		if k.method = wireName(k.algorithm); tsigHashes[k.algorithm] == nil {
			// The word itself stays out: it may be the secret in the wrong place.
			return bad("the algorithm of %s is unknown; expected one of %s, and then the secret", k.name, strings.Join(Algorithms(), ", "))
		}
		var err error
		if k.secret, err = base64.StdEncoding.DecodeString(k.text); err != nil || len(k.secret) == 0 {
			return bad("the secret of %s is empty or not base64; is its environment variable set?", k.name)
		}
		if _, ok := keys[k.name]; ok {
			return bad("%s is listed twice", k.name)
		}
		keys[k.name] = k
	}
	return keys, nil
}

// Algorithms are the TSIG algorithms that a Key may have, the best known first.
func Algorithms() []string {
	return []string{"hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1"}
}

// tsigRecord is a TSIG record (RFC 8945 section 4.2).
type tsigRecord struct {
	owner, method []byte // key and algorithm on the wire, in lower case
	time          uint64 // 48 bits
	fudge         uint16
	mac           []byte
	id            uint16 // of the message when it was signed
	code          uint16 // an rcode of its own
	other         []byte
}

// readTSIG reads the record that ends msg and begins at off; false: malformed.
func readTSIG(msg []byte, off int) (t tsigRecord, ok bool) {
	var at int
	if t.owner, at = readName(msg, off); t.owner == nil || at+10 > len(msg) {
		return t, false
	}
	class, ttl := binary.BigEndian.Uint16(msg[at+2:]), binary.BigEndian.Uint32(msg[at+4:])
	if at += 10; class != dns.ClassANY || ttl != 0 {
		return t, false
	}
	if t.method, at = readName(msg, at); t.method == nil || at+10 > len(msg) {
		return t, false
	}
	t.time = uint64(binary.BigEndian.Uint16(msg[at:]))<<32 | uint64(binary.BigEndian.Uint32(msg[at+2:]))
	t.fudge = binary.BigEndian.Uint16(msg[at+6:])
	n := int(binary.BigEndian.Uint16(msg[at+8:]))
	if at += 10; at+n+6 > len(msg) {
		return t, false
	}
	t.mac = msg[at : at+n]
	at += n
	t.id, t.code = binary.BigEndian.Uint16(msg[at:]), binary.BigEndian.Uint16(msg[at+2:])
	t.other = msg[at+6:]
	return t, len(t.other) == int(binary.BigEndian.Uint16(msg[at+4:]))
}

// readName returns the name at off, whole and in lower case, and where it ends; nil if
// it is malformed.
func readName(msg []byte, off int) ([]byte, int) {
	text, end, err := dns.UnpackDomainName(msg, off)
	if err != nil {
		return nil, 0
	}
	return wireName(dns.CanonicalName(text)), end
}

// wireName packs a name; nil if it is malformed.
func wireName(name string) []byte {
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		return nil
	}
	return wire[:n:n]
}

// appendTimers appends what the digest of every message covers.
func (t *tsigRecord) appendTimers(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(t.time>>32))
	dst = binary.BigEndian.AppendUint32(dst, uint32(t.time))
	return binary.BigEndian.AppendUint16(dst, t.fudge)
}

// appendVariables appends what the digest covers of the record (RFC 8945 4.3.3).
func (t *tsigRecord) appendVariables(dst []byte) []byte {
	dst = append(append(dst, t.owner...), 0, dns.ClassANY, 0, 0, 0, 0)
	dst = t.appendTimers(append(dst, t.method...))
	dst = binary.BigEndian.AppendUint16(dst, t.code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.other)))
	return append(dst, t.other...)
}

// length is what appendTo adds.
func (t *tsigRecord) length() int {
	return len(t.owner) + 10 + len(t.method) + 16 + len(t.mac) + len(t.other)
}

// appendTo appends the record to the message that begins at base.
func (t *tsigRecord) appendTo(dst []byte, base int) []byte {
	count := dst[base+10 : base+12]
	binary.BigEndian.PutUint16(count, binary.BigEndian.Uint16(count)+1)
	dst = append(append(dst, t.owner...), 0, byte(dns.TypeTSIG), 0, dns.ClassANY, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(t.length()-len(t.owner)-10))
	dst = t.appendTimers(append(dst, t.method...))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.mac)))
	dst = append(dst, t.mac...)
	dst = binary.BigEndian.AppendUint16(dst, t.id)
	dst = binary.BigEndian.AppendUint16(dst, t.code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.other)))
	return append(dst, t.other...)
}

// digest is the HMAC of the parts. An earlier MAC goes first, unless it is nil.
func (k *tsigKey) digest(before []byte, parts ...[]byte) []byte {
	h := hmac.New(tsigHashes[k.algorithm], k.secret)
	if before != nil {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(before))))
		h.Write(before)
	}
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// size is how long a digest is.
func (k *tsigKey) size() int { return tsigHashes[k.algorithm]().Size() }

// record is a TSIG record of the key for msg, with the present time.
func (k *tsigKey) record(msg []byte) tsigRecord {
	return tsigRecord{owner: k.owner, method: k.method, time: uint64(time.Now().Unix()), fudge: tsigFudge, id: binary.BigEndian.Uint16(msg)}
}

// check checks the record of a request, in the order of RFC 8945 5.2. It returns the
// rcode of the answer, and for NOTAUTH the code of its TSIG record.
func (k *tsigKey) check(t *tsigRecord, msg []byte, off int, now uint64) (rcode int, code uint16) {
	size, n := k.size(), len(t.mac)
	if n > size || n < max(10, size/2) {
		return dns.RcodeFormatError, 0 // RFC 8945 5.2.2.1; only an answer that is an error may have none
	}
	// The header as it was before the record: with its own ID, and one record less.
	var head [headerLen]byte
	copy(head[:], msg)
	binary.BigEndian.PutUint16(head[:], t.id)
	binary.BigEndian.PutUint16(head[10:], binary.BigEndian.Uint16(msg[10:])-1)
	want := k.digest(nil, head[:], msg[headerLen:off], t.appendVariables(nil))
	switch {
	case !hmac.Equal(t.mac, want[:n]):
		return dns.RcodeNotAuth, dns.RcodeBadSig
	case now > t.time+uint64(t.fudge) || now+uint64(t.fudge) < t.time:
		return dns.RcodeNotAuth, dns.RcodeBadTime
	case n < size:
		return dns.RcodeNotAuth, dns.RcodeBadTrunc // truncated MACs are not accepted: 5.2.4
	}
	return dns.RcodeSuccess, 0
}

// signer signs answers to one request (RFC 8945 5.3).
type signer struct {
	key *tsigKey
	mac []byte // of the request, then of the answer signed last
	n   int    // answers signed
}

// room is what sign adds to a message.
func (s *signer) room() int {
	t := tsigRecord{owner: s.key.owner, method: s.key.method}
	return t.length() + s.key.size()
}

// sign appends a record to the message that begins at base. The digest of the first
// answer covers the request's MAC; that of each further message of a transfer covers
// the MAC before it and only the timers of the record (RFC 8945 5.3.1).
func (s *signer) sign(dst []byte, base int) []byte {
	t := s.key.record(dst[base:])
	covered := t.appendVariables
	if s.n > 0 {
		covered = t.appendTimers
	}
	s.mac = s.key.digest(s.mac, dst[base:], covered(nil))
	s.n++
	t.mac = s.mac
	return t.appendTo(dst, base)
}

// signed answers a request with a TSIG record, and signs the answer.
func (r *responder) signed(dst, msg []byte) []byte {
	q := &r.q
	t, ok := readTSIG(msg, q.tsigAt)
	if !ok {
		return r.short(dst, msg, dns.RcodeFormatError, 0, &noExtra)
	}
	key := r.keyOf(&t)
	if key == nil {
		return r.tsigError(dst, msg, &t, nil, dns.RcodeBadKey)
	}
	switch rcode, code := key.check(&t, msg, q.tsigAt, uint64(time.Now().Unix())); {
	case code != 0:
		return r.tsigError(dst, msg, &t, key, code)
	case rcode != dns.RcodeSuccess:
		return r.short(dst, msg, rcode, 0, &noExtra)
	}
	s := &signer{key: key, mac: append([]byte(nil), t.mac...)}
	r.key, r.proved, r.reserve = key.name, true, s.room()
	base := len(dst)
	if q.opcode() != dns.OpcodeQuery {
		dst = r.short(dst, msg, dns.RcodeNotImplemented, 0, &noExtra)
	} else if dst = r.answer(dst, msg); r.transfer != nil {
		r.transfer.signer = s
		return dst
	}
	return s.sign(dst, base)
}

// keyOf returns the key that a request names; nil if the zone of its question has no
// such key.
func (r *responder) keyOf(t *tsigRecord) *tsigKey {
	z := r.set.find(r.q.name)
	if z == nil {
		return nil
	}
	for _, k := range z.keys {
		if string(k.owner) == string(t.owner) && string(k.method) == string(t.method) {
			return k
		}
	}
	return nil
}

// tsigError answers NOTAUTH with the TSIG record that says why (RFC 8945 5.2).
// An unknown key or a wrong signature cannot be answered with a right one.
func (r *responder) tsigError(dst, msg []byte, request *tsigRecord, key *tsigKey, code uint16) []byte {
	r.count.tsigErrors.Add(1)
	r.refused("TSIG refused", "from", r.from, "error", dns.RcodeToString[int(code)], "key", nameText(request.owner))
	base := len(dst)
	dst = r.short(dst, msg, dns.RcodeNotAuth, 0, &noExtra)
	t := tsigRecord{
		owner: request.owner, method: request.method, time: request.time, fudge: tsigFudge,
		id: binary.BigEndian.Uint16(msg), code: code,
	}
	if code == dns.RcodeBadTime {
		// RFC 8945 5.2.3: the client's time, and ours in Other Data.
		t.other = binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))[2:]
	}
	if code == dns.RcodeBadTime || code == dns.RcodeBadTrunc {
		t.mac = key.digest(request.mac, dst[base:], t.appendVariables(nil))
	}
	if r.tr == overUDP && len(dst)-base+t.length() > r.set.limit(&r.q, r.tr) {
		return dst // only the rcode fits: the names are the client's, and may be long
	}
	return t.appendTo(dst, base)
}

// nameText is a wire name as people write it.
func nameText(wire []byte) string {
	text, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return "?"
	}
	return text
}
