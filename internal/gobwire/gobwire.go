// Package gobwire reads and writes most of net/rpc's gob wire in place of
// encoding/gob, and byte for byte as that does.
//
// A gob stream is a sequence of messages, each a length and then either a negative
// type id and the definition of that type, or a type id and a value (encoding/gob,
// "Encoding Details"). net/rpc sends two values a request: rpc.Request, then the
// argument; two a response: rpc.Response, then the reply.
//
// encoding/gob stays in charge: it sees every definition, the first value of every
// type, and whatever is not known here, so that every error is its own. There are
// two parts beside it.
//
// Headers are always alike: once their type is known to be the expected one,
// [ParseRequest], [AppendRequest] and their like take them apart without
// reflection. Ids are those of values, as [ToInt] gives them.
//
// Values can be anything: [Encoder] and [Decoder] do those made of basic types,
// structs, slices, arrays, maps and pointers. encoding/gob copies every message
// once more than needed in each direction, and takes several times as long. Types
// with an encoding of their own, interfaces and recursive types are left to it.
package gobwire

import (
	"encoding/binary"
	"math/bits"
)

const (
	gobString = 6 // encoding/gob's id of string
	gobUint   = 3 // and of uint
)

// AppendUint is the gob encoding of an unsigned integer: itself below 128, else
// the negated count of its bytes, then these, big-endian.
func AppendUint(b []byte, x uint64) []byte {
	if x < 128 {
		return append(b, byte(x))
	}
	return appendLong(b, x)
}

// appendLong is apart so that AppendUint is inlined. All eight bytes are stored,
// which is quicker than to copy those that count.
func appendLong(b []byte, x uint64) []byte {
	zeros := bits.LeadingZeros64(x) / 8
	b = binary.BigEndian.AppendUint64(append(b, byte(zeros-8)), x<<(8*zeros))
	return b[:len(b)-zeros]
}

// ReadUint reads what AppendUint wrote: the value and its length, 0 if b is too
// short or not an integer.
func ReadUint(b []byte) (x uint64, size int) {
	if len(b) > 0 && b[0] < 128 {
		return uint64(b[0]), 1
	}
	return readLong(b)
}

func readLong(b []byte) (x uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	n := -int(int8(b[0]))
	if n > 8 || len(b) < 1+n {
		return 0, 0
	}
	if len(b) >= 9 {
		return binary.BigEndian.Uint64(b[1:]) >> (64 - 8*n), 1 + n
	}
	for _, c := range b[1 : 1+n] {
		x = x<<8 | uint64(c)
	}
	return x, 1 + n
}

// ToUint is how gob writes a signed integer: the sign in the lowest bit.
func ToUint(i int64) uint64 {
	return uint64(i<<1) ^ uint64(i>>63)
}

// ToInt reads what ToUint gives.
func ToInt(x uint64) int64 {
	return int64(x>>1) ^ -int64(x&1)
}

func appendString(b []byte, s string) []byte {
	return append(AppendUint(b, uint64(len(s))), s...)
}

// field is a field of a struct definition.
type field struct {
	name string
	id   int64
}

// definition is the message, without its length, by which encoding/gob defines
// the struct type name as id.
func definition(name string, id int64, fields ...field) []byte {
	b := AppendUint(nil, ToUint(-id))
	b = append(b, 3) // wireType.StructT
	b = append(b, 1) // structType.CommonType
	b = append(b, 1) // CommonType.Name
	b = appendString(b, name)
	b = append(b, 1) // CommonType.Id
	b = AppendUint(b, ToUint(id))
	b = append(b, 0) // end of CommonType
	b = append(b, 1) // structType.Field
	b = AppendUint(b, uint64(len(fields)))
	for _, f := range fields {
		b = append(b, 1)
		b = appendString(b, f.name)
		b = append(b, 1)
		b = AppendUint(b, ToUint(f.id))
		b = append(b, 0)
	}
	return append(b, 0, 0) // end of structType, of wireType
}

// IsRequest reports whether a message defines rpc.Request as net/rpc has it.
func IsRequest(message []byte) (id int64, ok bool) {
	return defines(message, "Request", field{"ServiceMethod", gobString}, field{"Seq", gobUint})
}

// IsResponse is IsRequest for rpc.Response.
func IsResponse(message []byte) (id int64, ok bool) {
	return defines(message, "Response", field{"ServiceMethod", gobString}, field{"Seq", gobUint}, field{"Error", gobString})
}

func defines(message []byte, name string, fields ...field) (id int64, ok bool) {
	u, _ := ReadUint(message)
	id = -ToInt(u)
	if id <= 0 {
		return 0, false
	}
	return id, string(message) == string(definition(name, id, fields...))
}

// ParseRequest reads the fields of a Request: value is the message after its type
// id. Not ok: leave it to encoding/gob. The name is a part of value.
func ParseRequest(value []byte) (name []byte, seq uint64, ok bool) {
	at := -1 // the last field seen; gob writes the distance to the next
	for {
		delta, n := ReadUint(value)
		if n == 0 {
			return nil, 0, false
		}
		value = value[n:]
		if delta == 0 {
			return name, seq, len(value) == 0
		}
		if delta > 2 {
			return nil, 0, false
		}
		at += int(delta)
		x, n := ReadUint(value)
		if n == 0 {
			return nil, 0, false
		}
		value = value[n:]
		switch at {
		case 0:
			if x > uint64(len(value)) {
				return nil, 0, false
			}
			name, value = value[:x], value[x:]
		case 1:
			seq = x
		default:
			return nil, 0, false
		}
	}
}

// AppendRequest is the message of a Request of type id, its length included. Neither
// field may be zero: gob leaves those out.
func AppendRequest(b []byte, id int64, method string, seq uint64) []byte {
	typeID := ToUint(id)
	size := uintSize(typeID) + 1 + uintSize(uint64(len(method))) + len(method) + 1 + uintSize(seq) + 1
	b = AppendUint(b, uint64(size))
	b = AppendUint(b, typeID)
	b = AppendUint(append(b, 1), uint64(len(method)))
	b = append(b, method...)
	b = AppendUint(append(b, 1), seq)
	return append(b, 0)
}

func uintSize(x uint64) int {
	if x < 128 {
		return 1
	}
	return 9 - bits.LeadingZeros64(x)/8
}

// setLength puts its length before the message that begins at mark with room bytes
// left for that, and moves it if these are not as many as needed.
func setLength(b []byte, mark, room int) []byte {
	size := len(b) - mark - room
	need := uintSize(uint64(size))
	var a [9]byte
	if need != room {
		b = append(b, a[:need]...)
		copy(b[mark+need:], b[mark+room:mark+room+size])
		b = b[:mark+need+size]
	}
	copy(b[mark:], AppendUint(a[:0], uint64(size)))
	return b
}

// Response is a Response as ParseResponse finds it, within the message.
type Response struct {
	Method, Error []byte
	Seq           uint64
}

// ParseResponse reads what follows the type id in a Response's message. If it is
// not ok, encoding/gob shall judge.
func ParseResponse(b []byte) (r Response, ok bool) {
	field := -1
	for {
		delta, n := ReadUint(b)
		if n == 0 || delta > 3 {
			return r, false
		}
		b = b[n:]
		if delta == 0 {
			return r, len(b) == 0
		}
		field += int(delta)
		x, n := ReadUint(b)
		if n == 0 {
			return r, false
		}
		b = b[n:]
		if field == 1 {
			r.Seq = x
			continue
		}
		if x > uint64(len(b)) {
			return r, false
		}
		switch field {
		case 0:
			r.Method, b = b[:x], b[x:]
		case 2:
			r.Error, b = b[:x], b[x:]
		default:
			return r, false
		}
	}
}

// AppendResponse is the message of a Response of type id, its length included.
// Fields with zero values are left out, as gob does.
func AppendResponse(b []byte, id int64, method string, seq uint64, errText string) []byte {
	// The length comes first and is not known: nearly always it fits one byte.
	mark := len(b)
	b = append(b, 0)
	b = AppendUint(b, ToUint(id))
	delta := byte(1)
	if method != "" {
		b = appendString(append(b, delta), method)
	} else {
		delta++
	}
	if seq != 0 {
		b = AppendUint(append(b, delta), seq)
		delta = 1
	} else if method != "" {
		delta = 2
	} else {
		delta++
	}
	if errText != "" {
		b = appendString(append(b, delta), errText)
	}
	b = append(b, 0)
	return setLength(b, mark, 1)
}
