package gobvalue

import (
	"iter"
	"math"
	"reflect"
)

const firstID = 64 // encoding/gob's first id for a type that is defined on the stream

// shape is a type as the sender of a stream has defined it.
type shape struct {
	op        op
	key, elem wireType
	len       uint64 // of an array
	fields    []wireField
	raw       []byte                          // the definition's message
	into      map[reflect.Type][]reflect.Type // see Guard.field
	asked     bool                            // link has found out
	linked    bool                            // every type that it is made of is known, down to basic ones
	loose     bool                            // one of those is an interface
}

// parts are the types that a value is made of.
func (s *shape) parts() iter.Seq[*wireType] {
	return func(yield func(*wireType) bool) {
		switch s.op {
		case opStruct:
			for i := range s.fields {
				if !yield(&s.fields[i].wireType) {
					return
				}
			}
		case opMap:
			_ = yield(&s.key) && yield(&s.elem)
		case opSlice, opArray:
			yield(&s.elem)
		}
	}
}

// wireType is a part of a shape.
type wireType struct {
	id    int32
	shape *shape // set by link; nil for basic types
}

type wireField struct {
	name string
	wireType
}

// parseDefinition reads the message of a definition. It takes less than encoding/gob
// does: a definition that no encoder writes is not ok.
func parseDefinition(message []byte) (id int32, s *shape, ok bool) {
	c := cursor{b: message}
	x := -ToInt(c.uint())
	s = c.shape()
	return int32(x), s, s != nil && len(c.b) == 0 && x >= firstID && x <= math.MaxInt32
}

// shape reads a definition, after its id. It is nil for a bad one.
func (c *cursor) shape() *shape {
	s := new(shape)
	kinds := 0
	c.eachField(7, func(field int) { // of wireType
		kinds++
		switch field {
		case 0:
			s.op = opArray
			c.eachPart(3, func(part int) {
				if part == 1 {
					s.elem.id = c.id()
				} else if i := ToInt(c.uint()); i >= 0 {
					s.len = uint64(i)
				} else {
					c.bad = true
				}
			})
		case 1:
			s.op = opSlice
			c.eachPart(2, func(int) { s.elem.id = c.id() })
		case 2:
			s.op = opStruct
			c.eachPart(2, func(int) { s.fields = c.structFields() })
		case 3:
			s.op = opMap
			c.eachPart(3, func(part int) {
				if part == 1 {
					s.key.id = c.id()
				} else {
					s.elem.id = c.id()
				}
			})
		default: // GobEncoder, BinaryMarshaler, TextMarshaler
			s.op = opCoded
			c.eachPart(1, func(int) {})
		}
	})
	if c.bad || kinds != 1 {
		return nil
	}
	return s
}

// cursor reads a definition. Once something is bad, it reads only zeros.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uint() uint64 {
	x, n := ReadUint(c.b)
	if n == 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return x
}

func (c *cursor) id() int32 {
	i := ToInt(c.uint())
	if i != int64(int32(i)) {
		c.bad = true
	}
	return int32(i)
}

func (c *cursor) bytes() []byte {
	n := c.uint()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	s := c.b[:n]
	c.b = c.b[n:]
	return s
}

// eachField calls read for each field that was sent of a struct of n fields.
func (c *cursor) eachField(n int, read func(field int)) {
	for at := -1; !c.bad; read(at) {
		delta := c.uint()
		if delta == 0 {
			return
		}
		if delta > uint64(n-1-at) {
			c.bad = true
			return
		}
		at += int(delta)
	}
}

// eachPart is eachField for a struct that begins with a CommonType. Its name and id
// are not needed: the definition itself has the id.
func (c *cursor) eachPart(n int, read func(part int)) {
	c.eachField(n, func(part int) {
		if part > 0 {
			read(part)
			return
		}
		c.eachField(2, func(field int) {
			if field == 0 {
				c.bytes()
			} else {
				c.id()
			}
		})
	})
}

func (c *cursor) structFields() []wireField {
	const least = 6 // bytes: number, length, one letter, number, id, end
	n := c.uint()
	if n > uint64(len(c.b)/least) {
		c.bad = true
		return nil
	}
	fields := make([]wireField, n)
	for i := range fields {
		f := &fields[i]
		c.eachField(2, func(field int) {
			if field == 0 {
				f.name = string(c.bytes())
			} else {
				f.id = c.id()
			}
		})
		if f.name == "" {
			c.bad = true
		}
		if c.bad {
			return nil
		}
	}
	return fields
}
