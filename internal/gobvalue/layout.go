package gobvalue

import "reflect"

// layout is how a type of the sender is read into one of ours, in the sender's order.
// Fields are found by name. A field that only the sender has is skipped, and a field that
// only we have stays as it is.
type layout struct {
	*plan
	key, elem *layout
	fields    []layoutField // by the sender's numbers
}

type layoutField struct {
	*layout     // nil: skipped
	index   int // of our field
	skip    wireType
}

// layout is nil for types that cannot be read here, and for types that are not alike,
// which encoding/gob refuses. Numbers of different sizes are alike.
//
// scope has the types of one struct. If one of our types meets two of the sender's in
// it, encoding/gob reads the second as if it were the first, or refuses it. Such a
// struct is left to encoding/gob.
func (d *Decoder) layout(p *plan, id int32, scope map[reflect.Type]int32) *layout {
	l := &layout{plan: p}
	switch p.op {
	case opCannot:
		return nil
	case opBool, opInt, opUint, opFloat, opBytes, opString, opComplex:
		if id != int32(p.op) {
			return nil
		}
		return l
	case opPointer:
		if l.elem = d.layout(p.elem, id, scope); l.elem == nil {
			return nil
		}
		return l
	}
	if before, ok := scope[p.rt]; ok && before != id {
		return nil
	}
	scope[p.rt] = id
	s := d.shapes[id]
	if s == nil || s.op != p.op || !d.keep(64) {
		return nil
	}
	switch p.op {
	case opStruct:
		return d.structLayout(p, id, s)
	case opArray:
		if s.len != uint64(p.len) {
			return nil
		}
	case opMap:
		// A key that is decoded twice must not be in the map twice.
		if !p.key.steady {
			return nil
		}
		if l.key = d.layout(p.key, s.key.id, scope); l.key == nil {
			return nil
		}
	}
	if l.elem = d.layout(p.elem, s.elem.id, scope); l.elem == nil {
		return nil
	}
	return l
}

// structLayout makes each layout once: a type may be a part of another many times.
func (d *Decoder) structLayout(p *plan, id int32, s *shape) *layout {
	key := pairing{id, p.rt}
	if l, ok := d.layouts[key]; ok {
		return l
	}
	if !d.keep(128 + 64*len(s.fields)) {
		return nil
	}
	l := &layout{plan: p, fields: make([]layoutField, len(s.fields))}
	scope := make(map[reflect.Type]int32)
	taken := make([]bool, p.rt.NumField())
	for i := range s.fields {
		if !d.match(&l.fields[i], p, &s.fields[i], scope, taken) {
			l = nil
			break
		}
	}
	if d.layouts == nil {
		d.layouts = make(map[pairing]*layout)
	}
	d.layouts[key] = l
	return l
}

func (d *Decoder) match(f *layoutField, p *plan, w *wireField, scope map[reflect.Type]int32, taken []bool) bool {
	field, ok := p.rt.FieldByName(w.name)
	if !ok || !exported(w.name) {
		f.skip.id = w.id
		known, loose := d.link(&f.skip)
		return known && !loose
	}
	f.index = field.Index[0]
	// A field of an embedded struct is found, too, but not sent by that name.
	if len(field.Index) > 1 || taken[f.index] {
		return false
	}
	taken[f.index] = true
	for i := range p.fields {
		if p.fields[i].index == f.index {
			f.layout = d.layout(p.fields[i].plan, w.id, scope)
			return f.layout != nil
		}
	}
	return false // we have the field, but of a type that is not sent
}

// matches reports whether the two structs have a field in common. If they have none,
// encoding/gob takes it for a mistake, unless ours has no fields at all.
func (l *layout) matches() bool {
	for l.op == opPointer {
		l = l.elem
	}
	for i := range l.fields {
		if l.fields[i].layout != nil {
			return true
		}
	}
	return l.rt.NumField() == 0
}

// swell is how many bytes of memory one byte of a message may become, at most.
func (l *layout) swell(known map[*layout]uint64) uint64 {
	if s, ok := known[l]; ok {
		return s
	}
	s := uint64(1) // as of strings
	switch l.op {
	case opStruct:
		for i := range l.fields {
			if f := l.fields[i].layout; f != nil {
				s = max(s, f.swell(known))
			}
		}
	case opPointer, opSlice:
		s = l.elem.swell(known) + uint64(l.elem.rt.Size())/uint64(l.elem.least) + 1
	case opArray:
		s = l.elem.swell(known)
	case opMap:
		size, least := l.key.rt.Size()+l.elem.rt.Size()+8, l.key.least+l.elem.least
		s = max(l.key.swell(known), l.elem.swell(known)) + uint64(size)/uint64(least) + 1
	}
	known[l] = s
	return s
}

// Tests: decode_test.go, random_test.go.
