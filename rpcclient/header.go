package rpcclient

import (
	"bytes"
	"encoding/gob"
	"net/rpc"
)

// Headers of the gob stream, written and read without reflection. They are alike
// for every call, and by encoding/gob they would cost more than the system call
// that sends them. encoding/gob stays the measure: it writes the first header of
// each connection, and headers are written by hand only if the hand would have
// written the same; headers are read by hand only of a peer whose definition of
// rpc.Response is, byte for byte, net/rpc's.

// appendUint appends an unsigned integer: itself below 128, else the negated count
// of its bytes and then these, big-endian.
func appendUint(b []byte, x uint64) []byte {
	if x <= 0x7f {
		return append(b, byte(x))
	}
	n := 8
	for x>>(8*(n-1)) == 0 {
		n--
	}
	b = append(b, byte(-n))
	for n--; n >= 0; n-- {
		b = append(b, byte(x>>(8*n)))
	}
	return b
}

// readUint reads it back; size is 0 if b does not begin with a whole one.
func readUint(b []byte) (x uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] <= 0x7f {
		return uint64(b[0]), 1
	}
	n := -int(int8(b[0]))
	if n > 8 || len(b) <= n {
		return 0, 0
	}
	for _, c := range b[1 : 1+n] {
		x = x<<8 | uint64(c)
	}
	return x, 1 + n
}

// appendRequest appends the message of a Request: its length, the id of its type
// (an even number, as gob's signed integers have the sign in the lowest bit), and
// both fields, each as the distance to it and its value. Neither is ever zero, so
// none is left out.
func appendRequest(b []byte, typeID uint64, method string, seq uint64) []byte {
	size := uintSize(typeID) + 1 + uintSize(uint64(len(method))) + len(method) + 1 + uintSize(seq) + 1
	b = appendUint(b, uint64(size))
	b = appendUint(b, typeID)
	b = appendUint(append(b, 1), uint64(len(method)))
	b = append(b, method...)
	b = appendUint(append(b, 1), seq)
	return append(b, 0)
}

func uintSize(x uint64) int {
	n := 1
	if x > 0x7f {
		for ; x > 0; x >>= 8 {
			n++
		}
	}
	return n
}

// response is a header as parseResponse finds it, within the message.
type response struct {
	method, err []byte
	seq         uint64
}

// parseResponse reads what follows the type id in a Response's message. If it is
// not ok, encoding/gob shall judge.
func parseResponse(b []byte) (r response, ok bool) {
	field := -1
	for {
		delta, n := readUint(b)
		if n == 0 || delta > 3 {
			return r, false
		}
		b = b[n:]
		if delta == 0 {
			return r, len(b) == 0
		}
		field += int(delta)
		x, n := readUint(b)
		if n == 0 {
			return r, false
		}
		b = b[n:]
		if field == 1 {
			r.seq = x
			continue
		}
		if x > uint64(len(b)) {
			return r, false
		}
		switch field {
		case 0:
			r.method, b = b[:x], b[x:]
		case 2:
			r.err, b = b[:x], b[x:]
		default:
			return r, false
		}
	}
}

// responseType is what a peer's definition of rpc.Response looks like, without the
// type's id, which each process gives anew. It stands there twice: as the
// message's own and in the description.
type responseType struct{ name, fields []byte }

// newResponseType has encoding/gob write the definition.
func newResponseType() (t responseType) {
	var b bytes.Buffer
	if gob.NewEncoder(&b).Encode(&rpc.Response{}) != nil {
		return t
	}
	size, n := readUint(b.Bytes())
	if n == 0 || int(size) > b.Len()-n {
		return t
	}
	msg := b.Bytes()[n : n+int(size)]
	_, n = readUint(msg)
	msg = msg[n:]
	// wireType.StructT, structType.CommonType, CommonType.Name, "Response", .Id
	i := bytes.Index(msg, []byte("Response"))
	if i < 0 {
		return t
	}
	i += len("Response") + 1
	_, n = readUint(msg[i:])
	return responseType{name: msg[:i], fields: msg[i+n:]}
}

// match tells whether a message defines it, and the id as values carry it.
func (t responseType) match(msg []byte) (id uint64, ok bool) {
	neg, n := readUint(msg)
	if n == 0 || len(t.name) == 0 || !bytes.HasPrefix(msg[n:], t.name) {
		return 0, false
	}
	rest := msg[n+len(t.name):]
	id, n = readUint(rest)
	// -x is written as ^(-x)<<1|1, which is (x-1)<<1|1, and x as x<<1.
	return id, n > 0 && neg == id-1 && bytes.Equal(rest[n:], t.fields)
}
