package dso

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// begin appends the beginning of a frame: room for its length, and the header.
func begin(b []byte, id uint16, qr bool, rcode int) []byte {
	flags := uint16(opcode<<11 | rcode&0xf)
	if qr {
		flags |= 1 << 15
	}
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // the four counts: RFC 8490 section 5.4
}

// finish writes the length of the frame that begins at an offset of b.
func finish(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-2))
	return b
}

func appendTLV(b []byte, t Type, data ...byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// AppendResponse appends a response, with TLVs if any: the primary one first.
func AppendResponse(b []byte, id uint16, rcode int, tlvs ...TLV) []byte {
	start := len(b)
	b = begin(b, id, true, rcode)
	for _, t := range tlvs {
		b = appendTLV(b, t.Type, t.Data...)
	}
	return finish(b, start)
}

// TLV returns the two times as they are in a response.
func (k KeepAlive) TLV() TLV {
	data := binary.BigEndian.AppendUint32(make([]byte, 0, 8), toMillis(k.Inactivity))
	return TLV{Type: TypeKeepAlive, Data: binary.BigEndian.AppendUint32(data, toMillis(k.Interval))}
}

// RetryDelay returns the TLV of a response that refuses: the time after which the same may
// be asked again (RFC 8490 section 7.2.2).
func RetryDelay(d time.Duration) TLV {
	return TLV{Type: TypeRetryDelay, Data: binary.BigEndian.AppendUint32(nil, toMillis(d))}
}

// Following is the TLV of a response that accepts a FOLLOW.
func Following() TLV { return TLV{Type: TypeFollow} }

// AppendKeepAlive appends a KeepAlive: with an id the request of a client, with id 0 a
// message of a server (RFC 8490 section 7.1).
func AppendKeepAlive(b []byte, id uint16, k KeepAlive) []byte {
	start := len(b)
	return finish(appendTLV(begin(b, id, false, 0), TypeKeepAlive, k.TLV().Data...), start)
}

// AppendRetryDelay appends the message by which a server ends a session. The RCODE is the
// reason (RFC 8490 section 7.2.1).
func AppendRetryDelay(b []byte, rcode int, d time.Duration) []byte {
	start := len(b)
	return finish(appendTLV(begin(b, 0, false, rcode), TypeRetryDelay, RetryDelay(d).Data...), start)
}

// AppendSubscribe appends a SUBSCRIBE. The error says that the name is not one.
func AppendSubscribe(b []byte, id uint16, q Question) ([]byte, error) {
	return appendQuestion(b, id, TypeSubscribe, q)
}

// AppendFollow appends a FOLLOW of the service with that name. The error says that the name
// is not one.
func AppendFollow(b []byte, id uint16, name string) ([]byte, error) {
	return appendQuestion(b, id, TypeFollow, Question{name, dns.TypeSRV, dns.ClassINET})
}

func appendQuestion(b []byte, id uint16, t Type, q Question) ([]byte, error) {
	name, err := packName(q.Name)
	if err != nil {
		return b, fmt.Errorf("dso: write %s: %w", t, err)
	}
	start := len(b)
	data := binary.BigEndian.AppendUint16(name, q.Type)
	data = binary.BigEndian.AppendUint16(data, q.Class)
	return finish(appendTLV(begin(b, id, false, 0), t, data...), start), nil
}

// AppendUnsubscribe appends the end of the SUBSCRIBE with that id.
func AppendUnsubscribe(b []byte, id uint16) []byte { return appendNumber(b, TypeUnsubscribe, id) }

// AppendUnfollow appends the end of the FOLLOW with that id.
func AppendUnfollow(b []byte, id uint16) []byte { return appendNumber(b, TypeUnfollow, id) }

func appendNumber(b []byte, t Type, id uint16) []byte {
	start := len(b)
	return finish(appendTLV(begin(b, 0, false, 0), t, byte(id>>8), byte(id)), start)
}

// AppendReconfirm appends a RECONFIRM of a record. The error says that it cannot be
// written.
func AppendReconfirm(b []byte, rr dns.RR) ([]byte, error) {
	whole := make([]byte, dns.Len(rr))
	n, err := dns.PackRR(dns.Copy(rr), whole, 0, nil, false) // it writes into the header of what it packs
	if err != nil {
		return b, fmt.Errorf("dso: write RECONFIRM: %w", err)
	}
	whole = whole[:n]
	name, err := packName(rr.Header().Name)
	if err != nil {
		return b, fmt.Errorf("dso: write RECONFIRM: %w", err)
	}
	// A record is NAME TYPE CLASS TTL RDLEN RDATA, and here it has neither TTL nor
	// RDLEN (RFC 8765 section 6.5.1).
	data := append(whole[:len(name)+4:len(name)+4], whole[len(name)+10:]...)
	start := len(b)
	return finish(appendTLV(begin(b, 0, false, 0), TypeReconfirm, data...), start), nil
}

// Pad pads the frame that begins at an offset of b and ends with it, so that the size of
// its message is a multiple of block (RFC 8490 section 7.3). RFC 8467 section 4.1 wants
// blocks of 128 octets for requests, and of 468 for responses.
func Pad(b []byte, start, block int) []byte {
	size := len(b) - start - 2 + tlvSize
	return finish(appendTLV(b, TypePadding, make([]byte, (block-size%block)%block)...), start)
}

func packName(name string) ([]byte, error) {
	var buf [maxName + 1]byte
	n, err := dns.PackDomainName(dns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%q is not a domain name: %w", name, err)
	}
	return buf[:n:n], nil
}

// toMillis returns whole milliseconds, rounded up, so that nothing comes too early.
func toMillis(d time.Duration) uint32 {
	return uint32((min(max(d, 0), Forever) + time.Millisecond - 1) / time.Millisecond)
}
