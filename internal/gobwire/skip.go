package gobwire

// link finds the shapes of everything that t is made of: what is to be skipped has
// to be known whole, for encoding/gob asks for that, too. It fails for interfaces,
// which may hold definitions, and for recursive types, so that skip comes to an end.
func (d *Decoder) link(t *wireType) bool {
	if t.id <= lastBasic {
		return t.id > 0
	}
	s := d.shapes[t.id]
	if s == nil {
		return false
	}
	if !s.asked {
		s.asked = true
		s.linked = d.linkParts(s)
	}
	t.shape = s
	return s.linked
}

func (d *Decoder) linkParts(s *shape) bool {
	switch s.op {
	case opStruct:
		for i := range s.fields {
			if !d.link(&s.fields[i].wireType) {
				return false
			}
		}
		return true
	case opMap:
		return d.link(&s.key) && d.link(&s.elem)
	case opSlice, opArray:
		return d.link(&s.elem)
	}
	return true
}

// skip reads over a value of t, which is linked. Each value takes a byte at least,
// so that a count beyond the bytes left is wrong.
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
