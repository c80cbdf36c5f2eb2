package gobvalue

// link finds the shapes of all types that t is made of: encoding/gob, too, must know them
// all to skip a value. It fails for recursive types, so that skip comes to an end. loose
// says that one of them is an interface.
func (d *Decoder) link(t *wireType) (known, loose bool) {
	if t.id <= lastBasic {
		return t.id > 0, t.id == int32(opInterface)
	}
	s := d.shapes[t.id]
	if s == nil {
		return false, false
	}
	if !s.asked {
		s.asked = true
		known := true
		for part := range s.parts() {
			k, l := d.link(part)
			known, s.loose = known && k, s.loose || l
		}
		s.linked = known
	}
	t.shape = s
	return s.linked, s.loose
}

// skip reads over a value of t, which is linked. Each value takes a byte at least,
// so a count beyond the bytes left is wrong.
func (t *wireType) skip(data []byte) (rest []byte, ok bool) {
	o := op(t.id)
	if t.shape != nil {
		o = t.shape.op
	}
	x, n := ReadUint(data)
	if n == 0 {
		return nil, false
	}
	switch o {
	case opBool, opInt, opUint, opFloat:
		return data[n:], true
	case opComplex:
		_, m := ReadUint(data[n:])
		return data[n+m:], m > 0
	case opStruct:
		return t.shape.skipStruct(data)
	case opInterface:
		return skipInterface(data)
	}
	data = data[n:]
	if x > uint64(len(data)) {
		return nil, false
	}
	switch o {
	case opBytes, opString, opCoded:
		return data[x:], true
	case opArray:
		if x != t.shape.len {
			return nil, false
		}
	case opSlice, opMap:
	default:
		return nil, false
	}
	for ok = true; ok && x > 0; x-- {
		if o == opMap {
			if data, ok = t.shape.key.skip(data); !ok {
				break
			}
		}
		data, ok = t.shape.elem.skip(data)
	}
	return data, ok
}

// skipInterface reads over an interface value: the name of a type, its id, the length of
// the value, and the value. A nil one is an empty name. A negative id begins a definition,
// with which the value cannot be skipped here.
func skipInterface(data []byte) (rest []byte, ok bool) {
	name, n := ReadUint(data)
	if data = data[n:]; n == 0 || name == 0 {
		return data, n > 0
	}
	if name > uint64(len(data)) {
		return nil, false
	}
	data = data[name:]
	id, n := ReadUint(data)
	length, m := ReadUint(data[n:])
	if data = data[n+m:]; n == 0 || m == 0 || id&1 != 0 || length > uint64(len(data)) {
		return nil, false
	}
	return data[length:], true
}

func (s *shape) skipStruct(data []byte) (rest []byte, ok bool) {
	at := -1
	for {
		delta, n := ReadUint(data)
		if n == 0 || delta > uint64(len(s.fields)-1-at) {
			return nil, false
		}
		if data = data[n:]; delta == 0 {
			return data, true
		}
		at += int(delta)
		if data, ok = s.fields[at].skip(data); !ok {
			return nil, false
		}
	}
}
