package gobvalue

import (
	"math"
	"reflect"
)

// whole goes over a value at the top level, or within an interface value: if it is no
// struct, a zero comes first.
func (g *Guard) whole(id int64, into reflect.Type) error {
	if id > int64(lastBasic) && id < firstID {
		return errBuiltin
	}
	if s := g.shape(id); s == nil || s.op != opStruct {
		if zero, err := g.uint(); err != nil || zero != 0 {
			return errGob
		}
	}
	return g.value(id, into)
}

// value goes over a value of the sender's type id, to be decoded into our type, or
// skipped if that is nil.
func (g *Guard) value(id int64, into reflect.Type) error {
	for i := 0; into != nil && into.Kind() == reflect.Pointer; i++ {
		if into = into.Elem(); i > 100 { // a pointer to itself
			return errGob
		}
		if err := g.takes(1, into.Size()); err != nil {
			return err
		}
	}
	switch basic(id) {
	case opBool, opInt, opUint, opFloat:
		_, err := g.uint()
		return err
	case opComplex:
		if _, err := g.uint(); err != nil {
			return err
		}
		_, err := g.uint()
		return err
	case opBytes, opString:
		return g.text()
	}
	if g.depth++; g.depth > maxDepth {
		return errDeep
	}
	defer func() { g.depth-- }()
	if id == int64(opInterface) {
		if into == nil {
			return g.skipInterface()
		}
		return g.interfaceValue(into)
	}
	s := g.shape(id)
	if s == nil {
		if id > 0 && id < firstID {
			return errBuiltin
		}
		return errGob
	}
	return g.composite(s, into)
}

// basic is the op of a type id that needs no definition.
func basic(id int64) op {
	if id <= 0 || id > int64(lastBasic) {
		return opCannot
	}
	return op(id)
}

// text goes over a string or bytes.
func (g *Guard) text() error {
	n, err := g.uint()
	if err != nil {
		return err
	}
	if err := g.bytes(n); err != nil {
		return err
	}
	return g.takes(n, 1)
}

// composite goes over a value whose type the sender has defined. If our type is of
// another kind, encoding/gob finds out before it reads anything.
func (g *Guard) composite(s *shape, into reflect.Type) error {
	kind := reflect.Invalid
	if into != nil {
		kind = into.Kind()
	}
	switch s.op {
	case opCoded:
		return g.text()
	case opStruct:
		if into != nil && kind != reflect.Struct {
			return errGob
		}
		return g.fields(s, into)
	case opArray:
		n, err := g.uint()
		if err != nil || n != s.len {
			return errGob
		}
		return g.elems(s, n, into, kind == reflect.Array)
	case opSlice:
		n, err := g.uint()
		if err != nil {
			return err
		}
		return g.elems(s, n, into, kind == reflect.Slice)
	default: // opMap
		n, err := g.uint()
		if err != nil {
			return err
		}
		if into == nil {
			return g.entries(s, n, nil, nil)
		}
		if kind != reflect.Map {
			return errGob
		}
		return g.entries(s, n, into.Key(), into.Elem())
	}
}

// fields goes over a struct. The end of the message is an end of the struct, too.
func (g *Guard) fields(s *shape, into reflect.Type) error {
	at := -1
	for len(g.b) > 0 {
		delta, err := g.uint()
		if err != nil || delta == 0 {
			return err
		}
		if delta > uint64(len(s.fields)-1-at) {
			return errGob
		}
		at += int(delta)
		if err := g.value(int64(s.fields[at].id), g.field(s, at, into)); err != nil {
			return err
		}
	}
	return nil
}

// field is what encoding/gob decodes a field of s into; nil: it is skipped.
func (g *Guard) field(s *shape, at int, into reflect.Type) reflect.Type {
	if into == nil {
		return nil
	}
	ours := s.into[into]
	if ours == nil {
		if g.cached += len(s.fields); g.cached > maxCached {
			return s.fields[at].of(into)
		}
		ours = make([]reflect.Type, len(s.fields))
		for i := range s.fields {
			ours[i] = s.fields[i].of(into)
		}
		if s.into == nil {
			s.into = make(map[reflect.Type][]reflect.Type)
		}
		s.into[into] = ours
	}
	return ours[at]
}

// of is the type of our struct's field of that name.
func (w *wireField) of(into reflect.Type) reflect.Type {
	if f, ok := into.FieldByName(w.name); ok && exported(w.name) {
		return f.Type
	}
	return nil
}

// elems goes over n elements. Each takes a byte at least, so a count beyond the bytes
// left is wrong, unless there are interface values within, which may go on in the next
// message.
func (g *Guard) elems(s *shape, n uint64, into reflect.Type, fits bool) error {
	var elem reflect.Type
	if into != nil {
		if !fits {
			return errGob
		}
		elem = into.Elem()
		if s.op == opSlice {
			if err := g.takes(n, elem.Size()); err != nil {
				return err
			}
		}
	}
	id := int64(s.elem.id)
	if n > uint64(len(g.b)) && !(n < math.MaxInt32 && g.holdsInterface(id)) {
		return errCount
	}
	for left := n; left > 0; left-- {
		err := errGob // as encoding/gob says of an element that is missing
		if len(g.b) > 0 {
			err = g.value(id, elem)
		}
		if err != nil {
			return unproven(err, left)
		}
	}
	return nil
}

// entries goes over n entries of a map, for which encoding/gob makes room at once.
func (g *Guard) entries(s *shape, n uint64, key, elem reflect.Type) error {
	if key != nil {
		if err := g.takes(n, key.Size()+elem.Size()+8); err != nil {
			return err
		}
	}
	keyID, elemID := int64(s.key.id), int64(s.elem.id)
	if n > uint64(len(g.b)/2) && !(n < math.MaxInt32 && (g.holdsInterface(keyID) || g.holdsInterface(elemID))) {
		return errCount
	}
	for left := n; left > 0; left-- {
		if len(g.b) == 0 {
			return errCount // encoding/gob would go on, if a value needs no bytes
		}
		err := g.value(keyID, key)
		if err == nil {
			err = g.value(elemID, elem)
		}
		if err != nil {
			return unproven(err, left)
		}
	}
	return nil
}

// unproven is the error of a value that announced left more elements than it has:
// encoding/gob may have made room for them.
func unproven(err error, left uint64) error {
	if err == errGob && left > maxUnproven {
		return errCount
	}
	return err
}

// holdsInterface reports whether a value of the sender's type id can hold interface
// values, as far as its definitions are known.
func (g *Guard) holdsInterface(id int64) bool {
	known, ok := g.loose[id]
	if !ok {
		if g.loose == nil {
			g.loose = make(map[int64]bool)
		}
		known = g.findInterface(id, make(map[int64]bool))
		g.loose[id] = known
	}
	return known
}

func (g *Guard) findInterface(id int64, seen map[int64]bool) bool {
	s := g.shape(id)
	if id == int64(opInterface) || s == nil || seen[id] {
		return id == int64(opInterface)
	}
	seen[id] = true
	for part := range s.parts() {
		if g.findInterface(int64(part.id), seen) {
			return true
		}
	}
	return false
}
