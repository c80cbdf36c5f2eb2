package gobvalue

import (
	"encoding/binary"
	"math/bits"
)

// AppendUint is the gob encoding of an unsigned integer: itself below 128, else
// the negated count of its bytes, then these, big-endian.
func AppendUint(b []byte, x uint64) []byte {
	if x < 128 {
		return append(b, byte(x))
	}
	return appendLong(b, x)
}

// appendLong is a function of its own so that AppendUint is inlined. All eight bytes are stored,
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

// AppendString is the gob encoding of a string.
func AppendString(b []byte, s string) []byte {
	return append(AppendUint(b, uint64(len(s))), s...)
}

// The ids of types that encoding/gob does not define on the stream, and one that stands for
// []string, which it does.
const (
	Bool    = int64(opBool)
	Uint    = int64(opUint)
	String  = int64(opString)
	Strings = int64(-1)
)

// Field is a field of a struct that is defined.
type Field struct {
	Name string
	ID   int64
}

// Definition is the message, without its length, by which encoding/gob defines
// the struct type name as id.
func Definition(name string, id int64, fields ...Field) []byte {
	b := AppendUint(nil, ToUint(-id))
	b = append(b, 3) // wireType.StructT
	b = append(b, 1) // structType.CommonType
	b = append(b, 1) // CommonType.Name
	b = AppendString(b, name)
	b = append(b, 1) // CommonType.Id
	b = AppendUint(b, ToUint(id))
	b = append(b, 0) // end of CommonType
	b = append(b, 1) // structType.Field
	b = AppendUint(b, uint64(len(fields)))
	for _, f := range fields {
		b = append(b, 1)
		b = AppendString(b, f.Name)
		b = append(b, 1)
		b = AppendUint(b, ToUint(f.ID))
		b = append(b, 0)
	}
	return append(b, 0, 0) // end of structType, of wireType
}

// UintSize is how many bytes AppendUint appends.
func UintSize(x uint64) int {
	if x < 128 {
		return 1
	}
	return 9 - bits.LeadingZeros64(x)/8
}

// SetLength writes the length of the message that begins at mark, where room bytes are
// left for it. It moves the message if the length takes more bytes, or fewer.
func SetLength(b []byte, mark, room int) []byte {
	size := len(b) - mark - room
	need := UintSize(uint64(size))
	var a [9]byte
	if need != room {
		b = append(b, a[:need]...)
		copy(b[mark+need:], b[mark+room:mark+room+size])
		b = b[:mark+need+size]
	}
	copy(b[mark:], AppendUint(a[:0], uint64(size)))
	return b
}
