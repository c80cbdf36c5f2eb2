package gobvalue

import "reflect"

// owner is the fate of a message that may become a part of what it is decoded into.
// To copy bytes to new memory costs as much as to read them from the socket.
type owner struct {
	most  int  // bytes that are more than so many are not copied
	mine  bool // or else they are, and only keeps says so
	keeps bool // there were some
}

// take is read for a whole value: of what stands at its top, bytes that are most of
// the message stay where they are. Without an owner it is read.
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
