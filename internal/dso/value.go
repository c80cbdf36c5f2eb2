package dso

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

const (
	// Forever, as a time of a KeepAlive, means no limit (RFC 8490 sections 6.4.2 and
	// 6.5.2). It is also the longest RetryDelay.
	Forever = (1<<32 - 1) * time.Millisecond
	// MinInterval is the shortest keepalive interval that a server may ask for (RFC 8490
	// section 6.5.2).
	MinInterval = 10 * time.Second
	// DefaultTimeout is the inactivity timeout and the keepalive interval of a session
	// until a KeepAlive sets others (RFC 8490 section 6.2).
	DefaultTimeout = 15 * time.Second
)

// KeepAlive has the two times of a session (RFC 8490 section 7.1), on the wire in
// milliseconds.
type KeepAlive struct {
	Inactivity time.Duration // after which a client without an operation closes
	Interval   time.Duration // between messages of a client that has operations
}

// KeepAlive returns the times in a KeepAlive message, or in the response to one, which
// must have exactly one KeepAlive TLV (RFC 8490 section 7.1).
func (m Message) KeepAlive() (KeepAlive, error) {
	if err := m.require(TypeKeepAlive, 8); err != nil {
		return KeepAlive{}, err
	}
	k := KeepAlive{millis(m.Primary.Data), millis(m.Primary.Data[4:])}
	if m.from == FromServer && k.Interval < MinInterval {
		return k, &Error{fatal, m.Primary.off + 4, "the keepalive interval is below 10 s (RFC 8490 section 6.5.2)"}
	}
	return k, nil
}

// require checks that the primary TLV is the one of a type, that it has a size, and that
// a response has no second one (RFC 8490 section 5.4.2).
func (m Message) require(t Type, size int) error {
	if m.Primary.Type != t {
		return m.malformed(headerSize, "there is no %s TLV", t)
	}
	if len(m.Primary.Data) != size {
		return m.malformed(m.Primary.off, "%s has %d octets of data, must have %d", t, len(m.Primary.Data), size)
	}
	if m.Response {
		for a := range m.Additional() {
			if a.Type == t {
				return m.malformed(a.off, "a response has more than one %s TLV", t)
			}
		}
	}
	return nil
}

// RetryDelay returns the time of a RetryDelay: of the session if it is the primary TLV
// of a unidirectional message, of the refused operation in a response (RFC 8490 sections
// 7.2.1 and 7.2.2). ok is false if there is none, which is an error only in the former.
func (m Message) RetryDelay() (delay time.Duration, ok bool, err error) {
	for t := range m.tlvs {
		if t.Type != TypeRetryDelay {
			continue
		}
		if len(t.Data) != 4 {
			return 0, false, m.malformed(t.off, "%s has %d octets of data, must have 4", t.Type, len(t.Data))
		}
		return millis(t.Data), true, nil
	}
	return 0, false, nil
}

// DefaultRetryDelay is the time after which a refused subscription may be tried again,
// if the response does not say, and the one that a server says (RFC 8765 section 6.2.2).
func DefaultRetryDelay(rcode int) time.Duration {
	switch rcode {
	case dns.RcodeServerFailure:
		return time.Minute
	case dns.RcodeNotImplemented, dns.RcodeStatefulTypeNotImplemented:
		return time.Hour // such a server learns it with a new release
	}
	return 5 * time.Minute
}

// Question says what is subscribed to. 255 means all types, or all classes.
type Question struct {
	Name        string // whole, in lower case
	Type, Class uint16
}

// Subscribe returns what a SUBSCRIBE asks for.
func (m Message) Subscribe() (Question, error) { return m.question(TypeSubscribe) }

// Follow returns the name of the service that a FOLLOW asks for: its type is SRV, its
// class IN.
func (m Message) Follow() (name string, err error) {
	q, err := m.question(TypeFollow)
	switch {
	case err != nil:
		return "", err
	case q.Type != dns.TypeSRV:
		return "", m.malformed(m.Primary.off+len(m.Primary.Data)-4, "FOLLOW asks for type %d, must be SRV (33)", q.Type)
	case q.Class != dns.ClassINET:
		return "", m.malformed(m.Primary.off+len(m.Primary.Data)-2, "FOLLOW asks for class %d, must be IN (1)", q.Class)
	}
	return q.Name, nil
}

// Followed checks a response of NOERROR to a FOLLOW: it has one FOLLOW TLV, without data.
func (m Message) Followed() error { return m.require(TypeFollow, 0) }

// question reads NAME, TYPE, CLASS. There is nothing in the message that the name could
// point to, so it is not compressed.
func (m Message) question(t Type) (Question, error) {
	if m.Primary.Type != t {
		return Question{}, m.malformed(headerSize, "there is no %s TLV", t)
	}
	name, off, err := m.name(m.Primary.off, false)
	if err != nil {
		return Question{}, err
	}
	end := m.Primary.off + len(m.Primary.Data)
	if off+4 != end {
		return Question{}, m.malformed(off, "after the name in %s there are %d octets, must be 4: type and class", t, end-off)
	}
	return Question{name, binary.BigEndian.Uint16(m.msg[off:]), binary.BigEndian.Uint16(m.msg[off+2:])}, nil
}

// Unsubscribe returns the id of the SUBSCRIBE that an UNSUBSCRIBE ends.
func (m Message) Unsubscribe() (id uint16, err error) { return m.number(TypeUnsubscribe) }

// Unfollow returns the id of the FOLLOW that an UNFOLLOW ends.
func (m Message) Unfollow() (id uint16, err error) { return m.number(TypeUnfollow) }

func (m Message) number(t Type) (uint16, error) {
	if err := m.require(t, 2); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(m.Primary.Data), nil
}

func millis(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Millisecond
}
