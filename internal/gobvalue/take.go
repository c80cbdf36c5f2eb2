package gobvalue

import "reflect"

// owner says whether a message may become a part of the value that it is decoded into.
// Copying bytes to new memory costs as much as reading them from the socket.
type owner struct {
	most  int  // a []byte of more bytes is not copied
	mine  bool // false: it is copied all the same
	keeps bool // there was one
}

// take is read, but a []byte at the top level that makes up most of the message stays
// where it is. Without an owner it is read.
func (l *layout) take(data []byte, v reflect.Value, o *owner) (rest []byte, ok bool) {
	if o == nil {
		return l.read(data, v)
	}
	switch l.op {
	case opPointer:
		if !v.IsNil() {
			return l.elem.take(data, v.Elem(), o)
		}
	case opStruct:
		return l.readStruct(data, v, o)
	case opBytes:
		x, n := ReadUint(data)
		end := n + int(x)
		if n == 0 || x <= uint64(o.most) || x > uint64(len(data)-n) || uint64(v.Cap()) >= x {
			break
		}
		o.keeps = true
		if o.mine {
			v.SetBytes(data[n:end:end]) // appending to it must not reach the rest
			return data[end:], true
		}
	}
	return l.read(data, v)
}
