package dso

import (
	"encoding/binary"
	"strings"

	"github.com/miekg/dns"
)

const maxName = 255 // octets: RFC 1035 section 2.3.4

// name reads the name at an offset, which ends with the primary TLV or before. A pointer
// leads to an earlier name in the message (RFC 1035 section 4.1.4), so there are no loops.
// The result is in lower case.
func (m Message) name(begin int, compressed bool) (name string, end int, err error) {
	limit := m.Primary.off + len(m.Primary.Data)
	length, first := 0, begin // octets of the name so far; where the present labels began
	for off := begin; ; {
		if off >= limit {
			return "", 0, m.malformed(off, "a name ends after the TLV")
		}
		switch n := int(m.msg[off]); n >> 6 {
		case 0:
			if length += 1 + n; length > maxName {
				return "", 0, m.malformed(begin, "a name has more than %d octets", maxName)
			}
			off += 1 + n
			if n > 0 {
				continue
			}
			if end == 0 {
				end = off
			}
		case 3:
			if !compressed {
				return "", 0, m.malformed(off, "the name in %s must not be compressed", m.Primary.Type)
			}
			if off+2 > limit {
				return "", 0, m.malformed(off, "a name ends after the TLV")
			}
			if end == 0 {
				end = off + 2
			}
			to := int(binary.BigEndian.Uint16(m.msg[off:]) & 0x3fff)
			if to < m.Primary.off || to >= first {
				return "", 0, m.malformed(off, "a name points to octet %d, where no earlier name is", to)
			}
			off, first = to, to
			continue
		default:
			return "", 0, m.malformed(off, "a name has a label of an unknown kind")
		}
		break
	}
	text, _, err := dns.UnpackDomainName(m.msg, begin)
	if err != nil {
		return "", 0, m.malformed(begin, "a name cannot be read: %v", err)
	}
	return strings.ToLower(text), end, nil
}

// Tests: message_test.go, change_test.go.
