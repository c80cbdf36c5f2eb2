package gobvalue

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
)

// interfaceValue goes over an interface value that is decoded: the name of a type, its
// definition if it is new, its id, a length that encoding/gob does not look at, and
// the value.
func (g *Guard) interfaceValue(into reflect.Type) error {
	if into.Kind() != reflect.Interface {
		return errGob
	}
	n, err := g.uint()
	if err != nil || n == 0 { // nil
		return err
	}
	name := g.b
	if n > maxName || g.bytes(n) != nil {
		return errGob
	}
	text := string(name[:n]) // the buffer may move
	id, err := g.typeID()
	if err != nil {
		return err
	}
	if _, err := g.uint(); err != nil {
		return err
	}
	if s := g.shape(id); s != nil && s.op == opCoded { // it is read in one way, whatever our type is
		return g.whole(id, nil)
	}
	concrete, err := g.concrete(text, id)
	if err != nil {
		return err
	}
	if err := g.takes(1, concrete.Size()); err != nil {
		return err
	}
	return g.whole(id, concrete)
}

// skipInterface goes over an interface value that is skipped, as encoding/gob does it: by
// the length, whatever that says. It refuses a nil one: encoding/gob would take the next
// message, which is another value, for a part of it.
func (g *Guard) skipInterface() error {
	n, err := g.uint()
	if err != nil {
		return err
	}
	if n == 0 {
		return errSkippedNil
	}
	if err := g.bytes(n); err != nil {
		return err
	}
	if _, err := g.typeID(); err != nil {
		return err
	}
	if n, err = g.uint(); err != nil {
		return err
	}
	return g.bytes(n)
}

// typeID reads the id of a type, with the definitions before it. A definition ends
// its message, unless the interface value is within another one: then a length follows,
// which is not needed.
func (g *Guard) typeID() (int64, error) {
	for {
		if len(g.b) == 0 {
			if g.more == nil {
				return 0, errGob
			}
			b, err := g.more()
			if err != nil {
				return 0, err
			}
			g.b = b
		}
		id, err := g.int()
		if err != nil || id >= 0 {
			return id, err
		}
		if id > -firstID {
			return 0, errGob
		}
		if err := g.define(-id); err != nil {
			return 0, err
		}
		if len(g.b) > 0 {
			if _, err := g.uint(); err != nil {
				return 0, err
			}
		}
	}
}

// maxZero bounds the value that is made to learn a type, in bytes.
const maxZero = 4096

// concrete is the type that is registered with encoding/gob under a name, for values of
// the sender's type id. It has encoding/gob decode such a value and looks at the result.
func (g *Guard) concrete(name string, id int64) (reflect.Type, error) {
	if rt, ok := g.plans.concrete.Load(name); ok {
		return rt.(reflect.Type), nil
	}
	var stream []byte
	zero := []byte{0} // a struct without fields, or what comes before others
	if s := g.shape(id); s == nil || s.op == opStruct {
		if s != nil {
			// A struct without fields fits every struct.
			id = firstID
			stream = appendMessage(stream, Definition("", id))
		} else if zero = g.zero(zero, id); zero == nil {
			return nil, errGob
		}
	} else {
		stream = g.definitions(stream, id, make(map[int64]bool))
		if zero = g.zero(zero, id); zero == nil {
			return nil, errArray
		}
	}
	message := append(AppendUint(nil, ToUint(int64(opInterface))), 0)
	message = AppendUint(AppendString(message, name), ToUint(id))
	message = append(AppendUint(message, uint64(len(zero))), zero...)
	var v any
	if err := decodeAny(appendMessage(stream, message), &v); err != nil {
		return nil, err
	}
	rt := reflect.TypeOf(v)
	g.plans.concrete.Store(name, rt)
	return rt, nil
}

func decodeAny(stream []byte, v *any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gob: decoding panicked: %v", r)
		}
	}()
	return gob.NewDecoder(bytes.NewReader(stream)).Decode(v)
}

func appendMessage(b, message []byte) []byte {
	return append(AppendUint(b, uint64(len(message))), message...)
}

// definitions appends the definitions of all types that id is made of.
func (g *Guard) definitions(b []byte, id int64, seen map[int64]bool) []byte {
	s := g.shape(id)
	if s == nil || seen[id] {
		return b
	}
	seen[id] = true
	b = appendMessage(b, s.raw)
	for part := range s.parts() {
		b = g.definitions(b, int64(part.id), seen)
	}
	return b
}

// zero appends the smallest value of a type. It returns nil if there is none, or if it is
// too large.
func (g *Guard) zero(b []byte, id int64) []byte {
	if len(b) > maxZero { // too large, or an array of itself
		return nil
	}
	switch basic(id) {
	case opBool, opInt, opUint, opFloat, opBytes, opString, opInterface:
		return append(b, 0)
	case opComplex:
		return append(b, 0, 0)
	}
	s := g.shape(id)
	if s == nil {
		return nil
	}
	if s.op != opArray {
		return append(b, 0)
	}
	b = AppendUint(b, s.len)
	for range s.len {
		if b = g.zero(b, int64(s.elem.id)); b == nil {
			return nil
		}
	}
	return b
}

// Tests: guard_test.go, guard_value_test.go.
