package pushjudge

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/miekg/dns"
)

// DSO types: RFC 8490 section 10.3, RFC 8765 section 8, docs/dns-names.md.
const (
	KeepAlive   = 1
	RetryDelay  = 2
	Padding     = 3
	Subscribe   = 0x40
	Push        = 0x41
	Unsubscribe = 0x42
	Reconfirm   = 0x43
	Follow      = 0xF800
	Set         = 0xF801
	Unfollow    = 0xF802
)

// Flags of a SET.
const (
	Whole = 1
	More  = 2
	Stale = 4
)

// TTLs with a meaning of their own: RFC 8765 section 6.3.1.
const (
	Remove    = 0xFFFFFFFF
	RemoveSet = 0xFFFFFFFE
)

// TLV is a type and its data: RFC 8490 section 5.4.4.
type TLV struct {
	Type uint16
	Data []byte
}

// Message is a DSO message: RFC 8490 section 5.4.
type Message struct {
	ID    uint16
	QR    bool
	Rcode int
	TLVs  []TLV

	raw []byte
}

// Frame returns the message with its length before it.
func (m Message) Frame() []byte {
	b := make([]byte, 2+12)
	binary.BigEndian.PutUint16(b[2:], m.ID)
	b[4] = 6 << 3
	if m.QR {
		b[4] |= 0x80
	}
	b[5] = byte(m.Rcode)
	for _, t := range m.TLVs {
		b = binary.BigEndian.AppendUint16(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(t.Data)))
		b = append(b, t.Data...)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// Has tells whether there is a TLV of a type.
func (m Message) Has(t uint16) bool { return m.find(t) != nil }

func (m Message) find(t uint16) *TLV {
	for i := range m.TLVs {
		if m.TLVs[i].Type == t {
			return &m.TLVs[i]
		}
	}
	return nil
}

// Retry returns the time in the RetryDelay TLV, -1 if there is none.
func (m Message) Retry() time.Duration {
	if t := m.find(RetryDelay); t != nil && len(t.Data) == 4 {
		return time.Duration(binary.BigEndian.Uint32(t.Data)) * time.Millisecond
	}
	return -1
}

// ReadFrame reads a frame, whatever is in it.
func ReadFrame(r io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// Parse reads a message.
func Parse(b []byte) (Message, error) {
	m := Message{raw: b}
	if len(b) < 12 {
		return m, fmt.Errorf("RFC 1035 section 4.1.1: %d octets are no header", len(b))
	}
	m.ID, m.QR, m.Rcode = binary.BigEndian.Uint16(b), b[2]>>7 == 1, int(b[3]&15)
	if b[2]>>3&15 != 6 {
		return m, fmt.Errorf("RFC 8490 section 5.4: the opcode is %d", b[2]>>3&15)
	}
	if b[2]&7 != 0 || b[3]>>4 != 0 {
		return m, fmt.Errorf("RFC 8490 section 5.4.1: the Z bits are set: %x", b[:12])
	}
	if binary.BigEndian.Uint64(b[4:]) != 0 {
		return m, fmt.Errorf("RFC 8490 section 5.4: a count is not 0: %x", b[:12])
	}
	for rest := b[12:]; len(rest) > 0; {
		if len(rest) < 4 || len(rest) < 4+int(binary.BigEndian.Uint16(rest[2:])) {
			return m, fmt.Errorf("RFC 8490 section 5.4.4: a TLV ends after the message: %x", b)
		}
		n := 4 + int(binary.BigEndian.Uint16(rest[2:]))
		m.TLVs = append(m.TLVs, TLV{binary.BigEndian.Uint16(rest), rest[4:n]})
		rest = rest[n:]
	}
	if !m.QR && len(m.TLVs) == 0 {
		return m, fmt.Errorf("RFC 8490 section 5.4.2: no TLV in %x", b)
	}
	return m, nil
}

// records reads the records at the end of the data of the first TLV, from an offset of it
// on. The TTL of each is what the change is.
func (m Message) records(from int) (rrs []dns.RR, err error) {
	off, end := 12+4+from, 12+4+len(m.TLVs[0].Data)
	for off < end {
		var rr dns.RR
		at := off
		if rr, off, err = dns.UnpackRR(m.raw[:end], off); err != nil {
			return nil, fmt.Errorf("RFC 8765 section 6.3.1: the record at octet %d: %w", at, err)
		}
		rrs = append(rrs, rr)
	}
	return rrs, nil
}

// question reads NAME, TYPE and CLASS: RFC 8765 section 6.2.1.
func (m Message) question() (q dns.Question, err error) {
	data := m.TLVs[0].Data
	name, off, err := dns.UnpackDomainName(data, 0)
	if err != nil || off+4 != len(data) {
		return q, fmt.Errorf("RFC 8765 section 6.2.1: not a name, a type and a class: %x", data)
	}
	q.Name = dns.CanonicalName(name)
	q.Qtype, q.Qclass = binary.BigEndian.Uint16(data[off:]), binary.BigEndian.Uint16(data[off+2:])
	return q, nil
}

// Question is the data of a SUBSCRIBE or FOLLOW.
func Question(name string, qtype, class uint16) []byte {
	b := make([]byte, 256)
	n, err := dns.PackDomainName(name, b, 0, nil, false)
	if err != nil {
		panic("pushjudge: " + name + " is not a name: " + err.Error())
	}
	b = binary.BigEndian.AppendUint16(b[:n], qtype)
	return binary.BigEndian.AppendUint16(b, class)
}

// Times is the data of a KeepAlive (RFC 8490 section 7.1), or of a RetryDelay if there is
// only one (section 7.2).
func Times(ds ...time.Duration) (b []byte) {
	for _, d := range ds {
		b = binary.BigEndian.AppendUint32(b, uint32(d/time.Millisecond))
	}
	return b
}

// Number is the data of an UNSUBSCRIBE or UNFOLLOW.
func Number(id uint16) []byte { return []byte{byte(id >> 8), byte(id)} }

// SetHead is the data of a SET before its records.
func SetHead(id uint16, flags byte, revision uint64) []byte {
	return binary.BigEndian.AppendUint64(append(Number(id), flags), revision)
}

// Changes appends records to the data of a PUSH or SET. With compress, the names of their
// owners are compressed, and so are those in RDATA of old types: an SRV target is not.
func Changes(head []byte, compress bool, rrs ...dns.RR) []byte {
	const before = 12 + 4 // octets of the message
	b := make([]byte, 1<<16)
	off := before + copy(b[before:], head)
	names := make(map[string]int)
	for _, rr := range rrs {
		n, err := dns.PackRR(dns.Copy(rr), b, off, names, compress) // it writes into the header
		if err != nil {
			panic("pushjudge: " + rr.String() + ": " + err.Error())
		}
		off = n
	}
	return b[before:off]
}
