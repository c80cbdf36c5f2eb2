package rpcserver

// Headers of the gob wire, read and written without reflection. A gob stream is
// a sequence of messages, each a length and then either a negative type id and
// the definition of that type, or a type id and a value. net/rpc sends two
// values a request: rpc.Request, then the argument; two a response.
//
// encoding/gob stays in charge: it sees every definition and every body, and the
// headers too until their type is known to be the expected one. From then on the
// headers, always alike, are taken apart here, at a tenth of the cost.

const (
	gobString = 6 // encoding/gob's id of string
	gobUint   = 3 // and of uint
)

// appendUint is the gob encoding of an unsigned integer: itself below 128, else
// the negated count of its bytes, then these, big-endian.
func appendUint(b []byte, x uint64) []byte {
	if x < 128 {
		return append(b, byte(x))
	}
	n := 8
	for n > 1 && x>>(8*(n-1)) == 0 {
		n--
	}
	b = append(b, byte(-n))
	for n--; n >= 0; n-- {
		b = append(b, byte(x>>(8*n)))
	}
	return b
}

// readUint reads what appendUint wrote: the value and its length, 0 if b is too
// short or not an integer.
func readUint(b []byte) (x uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 128 {
		return uint64(b[0]), 1
	}
	n := -int(int8(b[0]))
	if n > 8 || len(b) < 1+n {
		return 0, 0
	}
	for _, c := range b[1 : 1+n] {
		x = x<<8 | uint64(c)
	}
	return x, 1 + n
}

// toUint is how gob writes a signed integer: the sign in the lowest bit.
func toUint(i int64) uint64 {
	if i < 0 {
		return uint64(^i)<<1 | 1
	}
	return uint64(i) << 1
}

func toInt(x uint64) int64 {
	if x&1 != 0 {
		return ^int64(x >> 1)
	}
	return int64(x >> 1)
}

func appendString(b []byte, s string) []byte {
	return append(appendUint(b, uint64(len(s))), s...)
}

// field is a field of a struct definition.
type field struct {
	name string
	id   int64
}

// definition is the message, without its length, by which encoding/gob defines
// the struct type name as id.
func definition(name string, id int64, fields ...field) []byte {
	b := appendUint(nil, toUint(-id))
	b = append(b, 3) // wireType.StructT
	b = append(b, 1) // structType.CommonType
	b = append(b, 1) // CommonType.Name
	b = appendString(b, name)
	b = append(b, 1) // CommonType.Id
	b = appendUint(b, toUint(id))
	b = append(b, 0) // end of CommonType
	b = append(b, 1) // structType.Field
	b = appendUint(b, uint64(len(fields)))
	for _, f := range fields {
		b = append(b, 1)
		b = appendString(b, f.name)
		b = append(b, 1)
		b = appendUint(b, toUint(f.id))
		b = append(b, 0)
	}
	return append(b, 0, 0) // end of structType, of wireType
}

// isRequest reports whether a message defines rpc.Request as net/rpc has it.
func isRequest(message []byte) (id int64, ok bool) {
	u, _ := readUint(message)
	id = -toInt(u)
	if id <= 0 {
		return 0, false
	}
	want := definition("Request", id, field{"ServiceMethod", gobString}, field{"Seq", gobUint})
	return id, string(message) == string(want)
}

// parseRequest reads the fields of a Request: value is the message after its type
// id. Not ok: leave it to encoding/gob. The name is a part of value.
func parseRequest(value []byte) (name []byte, seq uint64, ok bool) {
	at := -1 // the last field seen; gob writes the distance to the next
	for {
		delta, n := readUint(value)
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
		x, n := readUint(value)
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

// appendResponse is the message of a Response of type id, its length included.
// Fields with zero values are left out, as gob does.
func appendResponse(b []byte, id int64, method string, seq uint64, errText string) []byte {
	// The length comes first and is not known: nearly always it fits one byte.
	mark := len(b)
	b = append(b, 0)
	b = appendUint(b, toUint(id))
	delta := byte(1)
	if method != "" {
		b = appendString(append(b, delta), method)
	} else {
		delta++
	}
	if seq != 0 {
		b = appendUint(append(b, delta), seq)
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
	size := len(b) - mark - 1
	if size < 128 {
		b[mark] = byte(size)
		return b
	}
	var head [9]byte
	prefix := appendUint(head[:0], uint64(size))
	b = append(b, prefix[1:]...) // make room
	copy(b[mark+len(prefix):], b[mark+1:mark+1+size])
	copy(b[mark:], prefix)
	return b
}
