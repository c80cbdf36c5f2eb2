package gobvalue

import "reflect"

// read decodes the value that data begins with into v, which can be set. Reading again
// comes to the same, whatever was decoded before: see Decoder.Decode. Counts are compared
// with the bytes left before memory is allocated. It is long because it has each kind
// of value once.
func (l *layout) read(data []byte, v reflect.Value) (rest []byte, ok bool) {
	switch l.op {
	case opPointer:
		if v.IsNil() {
			if len(data) < l.least {
				return nil, false
			}
			v.Set(reflect.New(l.rt.Elem()))
		}
		return l.elem.read(data, v.Elem())
	case opStruct:
		return l.readStruct(data, v, nil)
	}
	x, n := ReadUint(data)
	if n == 0 {
		return nil, false
	}
	data = data[n:]
	switch l.op {
	case opBool:
		v.SetBool(x != 0)
		return data, true
	case opInt:
		i := ToInt(x)
		if v.OverflowInt(i) {
			return nil, false
		}
		v.SetInt(i)
		return data, true
	case opUint:
		if v.OverflowUint(x) {
			return nil, false
		}
		v.SetUint(x)
		return data, true
	case opFloat:
		f := bitsFloat(x)
		if v.OverflowFloat(f) {
			return nil, false
		}
		v.SetFloat(f)
		return data, true
	case opComplex:
		y, n := ReadUint(data)
		c := complex(bitsFloat(x), bitsFloat(y))
		if n == 0 || v.OverflowComplex(c) {
			return nil, false
		}
		v.SetComplex(c)
		return data[n:], true
	}
	if x > uint64(len(data)) {
		return nil, false
	}
	count := int(x)
	switch l.op {
	case opBytes:
		setBytes(v, data[:count])
		return data[count:], true
	case opString:
		v.SetString(string(data[:count]))
		return data[count:], true
	case opArray:
		if count != l.len {
			return nil, false
		}
		return l.readElems(data, v, count)
	case opSlice:
		if l.quick.read != nil {
			return l.quick.read(data, count, v)
		}
		if !l.open(data, v, count) {
			return nil, false
		}
		return l.readElems(data, v, count)
	case opMap:
		return l.readMap(data, v, count)
	}
	return nil, false
}

// setBytes copies b into the slice that v has, if it is large enough.
func setBytes(v reflect.Value, b []byte) {
	if v.Cap() < len(b) {
		v.SetBytes(append([]byte(nil), b...)) // not cleared before, as by make
		return
	}
	v.SetLen(len(b))
	copy(v.Bytes(), b)
}

func (l *layout) readStruct(data []byte, v reflect.Value, o *owner) (rest []byte, ok bool) {
	at := -1
	for {
		delta, n := ReadUint(data)
		if n == 0 || delta > uint64(len(l.fields)-1-at) {
			return nil, false
		}
		if data = data[n:]; delta == 0 {
			return data, true
		}
		at += int(delta)
		f := &l.fields[at]
		switch {
		case f.layout == nil:
			data, ok = f.skip.skip(data)
		case o != nil:
			data, ok = f.take(data, v.Field(f.index), o)
		default:
			data, ok = f.read(data, v.Field(f.index))
		}
		if !ok {
			return nil, false
		}
	}
}

// open makes room for count elements. The slice that v has is used again, with its
// elements, if it is large enough. The capacity is the same as in encoding/gob, because
// the next message may be decoded into the same slice.
func (l *layout) open(data []byte, v reflect.Value, count int) bool {
	if v.Cap() >= count {
		v.SetLen(count)
		return true
	}
	if !credible(data, count, l.elem.least, l.elem.rt.Size()) {
		return false
	}
	v.SetZero()
	v.Grow(count)
	v.SetLen(count)
	v.SetCap(count)
	return true
}

// credible reports whether data can hold count elements that take so many bytes
// there and here. Elements that are much larger here are possible, because fields that
// are zero take no bytes there. Many such elements are left to encoding/gob, which
// allocates step by step.
func credible(data []byte, count, least int, size uintptr) bool {
	const (
		always = 64 << 10
		factor = 64
	)
	return count <= len(data)/least && uint64(count)*uint64(size) <= always+factor*uint64(len(data))
}

func (l *layout) readElems(data []byte, v reflect.Value, count int) (rest []byte, ok bool) {
	if l.op == opArray && l.rt.Elem().Kind() == reflect.Uint8 {
		return readByteArray(data, v.Bytes())
	}
	for i := range count {
		if data, ok = l.elem.read(data, v.Index(i)); !ok {
			return nil, false
		}
	}
	return data, true
}

func readByteArray(data, to []byte) (rest []byte, ok bool) {
	for i := range to {
		x, n := ReadUint(data)
		if n == 0 || x > 255 {
			return nil, false
		}
		to[i], data = byte(x), data[n:]
	}
	return data, true
}

// readMap adds to the map that v has.
func (l *layout) readMap(data []byte, v reflect.Value, count int) (rest []byte, ok bool) {
	if v.IsNil() {
		if !credible(data, count, l.key.least+l.elem.least, l.key.rt.Size()+l.elem.rt.Size()) {
			return nil, false
		}
		v.Set(reflect.MakeMapWithSize(l.rt, count))
	}
	at := l.pairs.Get().(*pair)
	defer l.put(at)
	for range count {
		at.key.SetZero()
		at.elem.SetZero()
		if data, ok = l.key.read(data, at.key); !ok {
			return nil, false
		}
		if data, ok = l.elem.read(data, at.elem); !ok {
			return nil, false
		}
		v.SetMapIndex(at.key, at.elem)
	}
	return data, true
}

// Tests: decode_test.go, values_test.go.
