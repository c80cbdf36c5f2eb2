package dso

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/miekg/dns"
)

// End is an end of a connection.
type End uint8

const (
	FromClient End = iota // the end that opened the connection
	FromServer
)

// Message is a DSO message that Read has checked: its header, the form of all its TLVs, and
// whether the primary one may be there.
type Message struct {
	ID       uint16
	Response bool
	Rcode    int // in a response, and in a RetryDelay message
	// Primary is the first TLV. A response may have none: its Type is then 0. If a
	// response has only others, such as RetryDelay, it is the first of these.
	Primary TLV

	msg  []byte
	end  int // of the primary TLV
	from End
}

// Request tells whether the message asks for a response.
func (m Message) Request() bool { return !m.Response && m.ID != 0 }

// Padded tells whether the message has padding: then its response must have some, too (RFC
// 8490 section 7.3).
func (m Message) Padded() bool {
	for t := range m.tlvs {
		if t.Type == TypePadding {
			return true
		}
	}
	return false
}

// Additional yields the TLVs after the first. Types that the reader does not know are to
// be ignored (RFC 8490 section 5.4.5).
func (m Message) Additional() iter.Seq[TLV] {
	return func(yield func(TLV) bool) {
		for off := m.end; off < len(m.msg); {
			t, end, ok := tlvAt(m.msg, off)
			if !ok || !yield(t) {
				return
			}
			off = end
		}
	}
}

// tlvs yields all TLVs.
func (m Message) tlvs(yield func(TLV) bool) {
	if m.end > headerSize && yield(m.Primary) {
		m.Additional()(yield)
	}
}

// Is tells whether a message is a DSO message, by its opcode alone.
func Is(msg []byte) bool { return len(msg) >= headerSize && msg[2]>>3&0xf == opcode }

// Read reads a message that came from an end. The Message is valid as long as msg is. An
// error is an *Error; the Message then has at least the ID.
//
// If a message is malformed, a request gets FORMERR, and anything else is fatal,
// because it has no answer (RFC 8490 section 5.4.3).
func Read(msg []byte, from End) (Message, error) {
	m := Message{msg: msg, from: from, end: headerSize}
	if len(msg) < headerSize {
		return m, &Error{fatal, len(msg), "the message ends in its header, which has 12 octets"}
	}
	m.ID = binary.BigEndian.Uint16(msg)
	m.Response = msg[2]&0x80 != 0
	m.Rcode = int(msg[3] & 0xf)
	// The bits between opcode and RCODE are ignored: RFC 8490 section 5.4.1.
	switch {
	case !Is(msg):
		return m, &Error{fatal, 2, "the opcode is not 6, that of DSO"}
	case m.Response && m.ID == 0:
		return m, &Error{fatal, 0, "a response has the id 0"} // RFC 8490 section 5.4.1
	case m.Response && from == FromClient:
		return m, &Error{fatal, 2, "a response came to a server, which asks no client"} // RFC 8490 section 5.5.2
	}
	for off := 4; off < headerSize; off += 2 {
		if binary.BigEndian.Uint16(msg[off:]) != 0 { // RFC 8490 section 5.4
			return m, m.malformed(off, "a count in the header is not 0")
		}
	}
	for off := headerSize; off < len(msg); {
		t, end, ok := tlvAt(msg, off)
		if !ok {
			return m, m.malformed(off, "a TLV ends after the message")
		}
		if off == headerSize {
			m.Primary, m.end = t, end
		}
		off = end
	}
	if len(msg) == headerSize {
		if m.Response {
			return m, nil
		}
		return m, m.malformed(headerSize, "there is no TLV, but a primary one is required") // RFC 8490 section 5.4.2
	}
	return m, m.checkPrimary()
}

// checkPrimary checks whether the primary TLV may be in a message of this kind.
func (m Message) checkPrimary() error {
	kind := response
	switch {
	case m.Response:
	case m.from == FromServer && m.ID == 0:
		kind = serverUnidirectional
	case m.from == FromServer:
		kind = 0 // no type is a request of a server
	case m.ID == 0:
		kind = clientUnidirectional
	default:
		kind = clientRequest
	}
	allowed, known := primaries[m.Primary.Type]
	switch {
	case !known && m.Response: // ignored: RFC 8490 section 5.4.5
	case !known, m.Primary.Type == TypePadding && !m.Response:
		// Padding is never a primary TLV: RFC 8490 section 7.3.
		return m.Unimplemented()
	case allowed&kind == 0:
		return &Error{fatal, headerSize, fmt.Sprintf("%s is not allowed as the primary TLV of %s", m.Primary.Type, m.describe())}
	}
	return nil
}

// Unimplemented returns the error for a message whose primary TLV the reader does not
// implement, or not on this connection: DSOTYPENI if it is a request, otherwise a fatal
// one (RFC 8490 section 5.4.5).
func (m Message) Unimplemented() error {
	e := &Error{fatal, headerSize, fmt.Sprintf("%s is not implemented as the primary TLV of %s", m.Primary.Type, m.describe())}
	if m.Request() {
		e.Rcode = dns.RcodeStatefulTypeNotImplemented
	}
	return e
}

func (m Message) describe() string {
	end := "a client"
	if m.from == FromServer {
		end = "a server"
	}
	switch {
	case m.Response:
		return "a response"
	case m.ID == 0:
		return "a unidirectional message of " + end
	}
	return "a request of " + end
}

// malformed returns the error for what is wrong at an octet.
func (m Message) malformed(octet int, format string, args ...any) error {
	e := &Error{fatal, octet, fmt.Sprintf(format, args...)}
	if m.Request() {
		e.Rcode = dns.RcodeFormatError
	}
	return e
}
