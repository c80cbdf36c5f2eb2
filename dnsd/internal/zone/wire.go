package zone

import (
	"encoding/binary"
	"strings"

	"github.com/miekg/dns"
)

// Parts of records on the wire, for images and for single answers.

// appendHead appends a record up to its data: its owner is the name at an offset
// of the message.
func appendHead(b []byte, owner int, rrtype uint16, ttl uint32, rdata int) []byte {
	return appendFixed(appendPointer(b, owner), rrtype, ttl, rdata)
}

// appendFixed appends type, class, TTL and length of a record.
func appendFixed(b []byte, rrtype uint16, ttl uint32, rdata int) []byte {
	return append(b,
		byte(rrtype>>8), byte(rrtype), 0, dns.ClassINET,
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl),
		byte(rdata>>8), byte(rdata))
}

// setLength writes the length of the record data that begins at an offset of b and
// reaches to its end.
func setLength(b []byte, data int) {
	binary.BigEndian.PutUint16(b[data-2:], uint16(len(b)-data))
}

func appendPointer(b []byte, to int) []byte {
	return binary.BigEndian.AppendUint16(b, 0xc000|uint16(to))
}

func appendLabel(b []byte, label string) []byte {
	return append(append(b, byte(len(label))), label...)
}

// appendHost appends the host name of a service: math.tcp.svc.
func (z *Zone) appendHost(b []byte, s *service) []byte {
	name := s.name()
	b = append(append(b, byte(len(name))), name...)
	b = append(append(b, 3), s.key[len(s.key)-3:]...)
	return append(b, z.wire...)
}

// appendService appends the name of a service: _math._tcp.svc.
func (z *Zone) appendService(b []byte, s *service) []byte {
	b = appendLabel(appendLabel(b, s.key[:len(s.key)-len("._tcp")]), s.key[len(s.key)-len("_tcp"):])
	return append(b, z.wire...)
}

// appendSRV appends the data of an SRV record up to the target.
func appendSRV(b []byte, m member) []byte {
	b = binary.BigEndian.AppendUint16(b, m.priority())
	b = binary.BigEndian.AppendUint16(b, m.Weight)
	return binary.BigEndian.AppendUint16(b, m.Port)
}

// appendAddress appends an address record after its owner.
func appendAddress(b []byte, m member, ttl uint32) []byte {
	a, _ := m.addr()
	if a.Is4() {
		v4 := a.As4()
		return append(appendFixed(b, dns.TypeA, ttl, 4), v4[:]...)
	}
	v6 := a.As16()
	return append(appendFixed(b, dns.TypeAAAA, ttl, 16), v6[:]...)
}

// appendName appends a host name. It has no escapes: see publishable.
func appendName(b []byte, host string) []byte {
	for host != "" {
		label, rest, _ := strings.Cut(host, ".")
		b, host = appendLabel(b, label), rest
	}
	return append(b, 0)
}

// Tests: answer_test.go.
