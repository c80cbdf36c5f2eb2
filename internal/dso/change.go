package dso

import (
	"encoding/binary"
	"net"

	"github.com/miekg/dns"
)

// Change is a change of one record, or the removal of several.
type Change struct {
	Op       Op
	RR       dns.RR // of Add and Remove; the owner, and the target of an SRV record, are in lower case
	Question        // what RemoveAll removes, and name, type and class of RR; Type and Class may then be 255
}

// Op is what a Change does.
type Op uint8

const (
	Add       Op = iota // a record, or another TTL of one that is there
	Remove              // one record; the TTL of RR is 0
	RemoveAll           // all records of a name, type and class
)

// The TTL of a change says what it does (RFC 8765 section 6.3.1).
const (
	maxTTL       = 1<<31 - 1
	removeTTL    = 1<<32 - 1
	removeAllTTL = 1<<32 - 2
)

// anyValue is the type and the class that match all (RFC 8765 section 6.2.1).
const anyValue = 255

// Push returns the changes in a PUSH. The reader ignores those that match no subscription
// of its own.
func (m Message) Push() ([]Change, error) {
	if err := m.sized(TypePush, 1); err != nil {
		return nil, err
	}
	return m.changes(m.Primary.off, func(q Question) bool { return true })
}

// Flags of a SET.
type Flags uint8

const (
	Whole Flags = 1 << iota // the message begins the whole set: what was there before is gone
	More                    // further messages belong to the same revision
	Stale                   // the server cannot learn of changes now
)

// setHead is the size of what is before the records of a SET: id, flags, revision.
const setHead = 2 + 1 + 8

// Set is a SET: a part of the records of a service at a revision, or of what has changed
// since the SET before.
type Set struct {
	ID       uint16 // of the FOLLOW
	Flags    Flags
	Revision uint64
	Changes  []Change // Add and Remove of SRV, A and AAAA records of class IN; may be none
}

// Set returns what is in a SET. Records of other types are left out, so that a later
// server can send some.
func (m Message) Set() (Set, error) {
	if err := m.sized(TypeSet, setHead); err != nil {
		return Set{}, err
	}
	d := m.Primary.Data
	s := Set{ID: binary.BigEndian.Uint16(d), Flags: Flags(d[2]), Revision: binary.BigEndian.Uint64(d[3:])}
	if s.ID == 0 {
		return Set{}, m.malformed(m.Primary.off, "SET has the id 0, which no FOLLOW has")
	}
	var err error
	s.Changes, err = m.changes(m.Primary.off+setHead, func(q Question) bool {
		return q.Class == dns.ClassINET && (q.Type == dns.TypeSRV || q.Type == dns.TypeA || q.Type == dns.TypeAAAA)
	})
	return s, err
}

// sized checks the primary TLV of a PUSH or SET, and the size of the message.
func (m Message) sized(t Type, least int) error {
	switch {
	case m.Primary.Type != t:
		return m.malformed(headerSize, "there is no %s TLV", t)
	case len(m.msg) > MaxPush: // RFC 8765 section 6.3.1
		return m.malformed(MaxPush, "%s has %d octets, more than %d", t, len(m.msg), MaxPush)
	case len(m.Primary.Data) < least:
		return m.malformed(m.Primary.off, "%s has %d octets of data, needs at least %d", t, len(m.Primary.Data), least)
	}
	return nil
}

// Reconfirm returns the record that a client doubts. It has no TTL.
func (m Message) Reconfirm() (dns.RR, error) {
	if m.Primary.Type != TypeReconfirm {
		return nil, m.malformed(headerSize, "there is no %s TLV", TypeReconfirm)
	}
	name, off, err := m.name(m.Primary.off, false)
	if err != nil {
		return nil, err
	}
	end := m.Primary.off + len(m.Primary.Data)
	if off+4 > end {
		return nil, m.malformed(off, "RECONFIRM ends before type and class")
	}
	q := Question{name, binary.BigEndian.Uint16(m.msg[off:]), binary.BigEndian.Uint16(m.msg[off+2:])}
	if q.Type == anyValue || q.Class == anyValue { // RFC 8765 section 6.5.1
		return nil, m.malformed(off, "RECONFIRM has type or class ANY")
	}
	return m.record(q, 0, off+4, end)
}

// changes reads records up to the end of the primary TLV, and returns those of the wanted
// types.
func (m Message) changes(off int, wanted func(Question) bool) (all []Change, err error) {
	limit := m.Primary.off + len(m.Primary.Data)
	for off < limit {
		begin := off
		name, at, err := m.name(begin, true)
		if err != nil {
			return nil, err
		}
		const fixed = 10 // type, class, TTL, length
		if at+fixed > limit {
			return nil, m.malformed(at, "a record ends after the TLV")
		}
		q := Question{name, binary.BigEndian.Uint16(m.msg[at:]), binary.BigEndian.Uint16(m.msg[at+2:])}
		ttl := binary.BigEndian.Uint32(m.msg[at+4:])
		data := at + fixed
		if off = data + int(binary.BigEndian.Uint16(m.msg[at+8:])); off > limit {
			return nil, m.malformed(data-2, "the data of a record ends after the TLV")
		}
		c := Change{Op: Add, Question: q}
		switch {
		case ttl == removeAllTTL && m.Primary.Type == TypeSet:
			// To ignore it would keep records that are gone.
			return nil, m.malformed(at+4, "SET removes a whole record set, which only PUSH does")
		case ttl == removeAllTTL:
			if off != data { // RFC 8765 section 6.3.1
				return nil, m.malformed(data-2, "a change that removes record sets has data")
			}
			c.Op = RemoveAll
			if q.Class == anyValue {
				c.Type = anyValue // it has no meaning, and is 0 on the wire
			}
			all = append(all, c)
			continue
		case ttl == removeTTL:
			c.Op, ttl = Remove, 0
		case ttl > maxTTL:
			continue // RFC 8765 section 6.3.1
		}
		if q.Type == anyValue || q.Class == anyValue { // RFC 8765 section 6.3.1
			return nil, m.malformed(at, "a record has type or class ANY")
		}
		if !wanted(q) {
			continue
		}
		if c.RR, err = m.record(q, ttl, data, off); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// record reads the data of a record.
func (m Message) record(q Question, ttl uint32, off, end int) (dns.RR, error) {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Type, Class: q.Class, Ttl: ttl, Rdlength: uint16(end - off)}
	size := end - off
	switch q.Type {
	case dns.TypeSRV:
		const fixed = 6 // priority, weight, port
		if size <= fixed {
			return nil, m.malformed(off, "the data of an SRV record has %d octets, needs at least %d", size, fixed+1)
		}
		target, stop, err := m.name(off+fixed, true)
		if err != nil {
			return nil, err
		}
		if stop != end {
			return nil, m.malformed(stop, "the target of an SRV record does not end with its data")
		}
		return &dns.SRV{
			Hdr: h, Target: target, Priority: binary.BigEndian.Uint16(m.msg[off:]),
			Weight: binary.BigEndian.Uint16(m.msg[off+2:]), Port: binary.BigEndian.Uint16(m.msg[off+4:]),
		}, nil
	case dns.TypeA:
		if size != net.IPv4len {
			return nil, m.malformed(off, "the data of an A record has %d octets, must have %d", size, net.IPv4len)
		}
		return &dns.A{Hdr: h, A: net.IP(append([]byte(nil), m.msg[off:end]...))}, nil
	case dns.TypeAAAA:
		if size != net.IPv6len {
			return nil, m.malformed(off, "the data of an AAAA record has %d octets, must have %d", size, net.IPv6len)
		}
		return &dns.AAAA{Hdr: h, AAAA: net.IP(append([]byte(nil), m.msg[off:end]...))}, nil
	}
	// Some types go up to the end of what miekg/dns is given. It takes the data of others that
	// ends after a field as whole, but no reader of ours uses them.
	rr, stop, err := dns.UnpackRRWithHeader(h, m.msg[:end:end], off)
	if err != nil || stop != end {
		return nil, m.malformed(off, "the data of a record of type %d cannot be read", q.Type)
	}
	return rr, nil
}
