package zone

import (
	"bytes"
	"encoding/binary"
)

// place is what a name can be in the zone, by its form alone. Whether the name exists
// depends on the services.
type place struct {
	at   at
	udp  bool
	name []byte // service name without its underscore: "math"
	id   []byte // instance
	top  []byte // the label directly above the origin, nil at the apex
}

// at is the form of a name, seen from the origin.
type at uint8

const (
	outside      at = iota // not in the zone
	apex                   // svc.
	protocol               // _tcp.svc.
	hostProtocol           // tcp.svc.
	serviceName            // _math._tcp.svc.
	hostName               // math.tcp.svc.
	instanceName           // a1._math._tcp.svc.
	instanceHost           // a1.math.tcp.svc.
	browseName             // _services._dns-sd._udp.svc.
	elsewhere              // any other name in the zone
)

// maxName is the longest name on the wire (RFC 1035 section 2.3.4).
const maxName = 255

// fold copies a wire name into buf in lower case, ASCII only (RFC 4343), and
// returns it; nil if it is too long. Length octets are below 64 and so are no
// letters.
func fold(buf *[maxName]byte, name []byte) []byte {
	if len(name) > maxName {
		return nil
	}
	const ones = 0x0101010101010101
	i := 0
	for ; i+8 <= len(name); i += 8 {
		// Eight octets at once, which takes 6 ns for a name of 16 octets where
		// a loop over octets takes 12 to 28, of the 100 ns of an answer. The high
		// bit of each octet of upper is set where it is one of A to Z.
		x := binary.LittleEndian.Uint64(name[i:])
		low := x & (0x7f * ones)
		upper := (low + (0x80-'A')*ones) &^ (low + (0x7f-'Z')*ones) &^ x & (0x80 * ones)
		binary.LittleEndian.PutUint64(buf[i:], x|upper>>2)
	}
	for ; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return buf[:len(name)]
}

// placeOf returns the place of a name relative to the origin. Both are folded wire
// names. A name that is not whole is outside.
//
// It is long because it reads labels and decides their meaning in one pass, without
// a loop over them afterwards: it is on the way of every query.
func placeOf(name, origin []byte) place {
	above := len(name) - len(origin) // octets above the origin
	if above < 0 {
		return place{}
	}
	var labels [3][]byte // the lowest labels, which come first
	var top []byte
	depth, i := 0, 0
	for i < above {
		n := int(name[i])
		if n == 0 || n > 63 || i+1+n > above {
			return place{} // not whole, or the origin's octets are inside a label
		}
		top = name[i+1 : i+1+n]
		if depth < len(labels) {
			labels[depth] = top
		}
		depth++
		i += 1 + n
	}
	if !bytes.Equal(name[above:], origin) {
		return place{}
	}
	p := place{at: elsewhere, top: top}
	if depth == 0 {
		p.at = apex
		return p
	}
	if depth > len(labels) {
		return p
	}
	proto := labels[depth-1]
	under := proto[0] == '_'
	if under {
		proto = proto[1:]
	}
	switch string(proto) {
	case "tcp":
	case "udp":
		p.udp = true
	default:
		return p
	}
	if depth == 1 {
		p.at = hostProtocol
		if under {
			p.at = protocol
		}
		return p
	}
	p.name = labels[depth-2]
	if under {
		if p.name[0] != '_' || len(p.name) == 1 {
			return p
		}
		p.name = p.name[1:]
	}
	switch {
	case depth == 2 && under:
		p.at = serviceName
	case depth == 2:
		p.at = hostName
	case under && p.udp && string(labels[0]) == "_services" && string(p.name) == "dns-sd":
		p.at = browseName
	case under:
		p.at, p.id = instanceName, labels[0]
	default:
		p.at, p.id = instanceHost, labels[0]
	}
	return p
}

// Tests: answer_test.go, reference_test.go.
