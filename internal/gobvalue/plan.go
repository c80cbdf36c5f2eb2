package gobvalue

import (
	"encoding"
	"encoding/gob"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Plans are what a process knows of its own types: how each is taken apart. A plan is
// compiled once and never forgotten, as in encoding/gob. One Plans serves all streams of
// a client or a server. The zero value is ready. Safe for concurrent use.
type Plans struct {
	known    sync.Map // reflect.Type to *plan
	concrete sync.Map // of types registered with encoding/gob: name to reflect.Type
}

// op is what to do with a value. The first eight are encoding/gob's ids of the types.
type op uint8

const (
	opCannot op = iota
	opBool
	opInt
	opUint
	opFloat
	opBytes
	opString
	opComplex
	opInterface // skipped, not decoded
	opArray
	opSlice
	opMap
	opStruct
	opPointer
	opCoded // only of the sender: written by the type's own methods
)

const lastBasic = int32(opInterface) // ids up to this are of types that need no definition

// plan is one type of this process. It is not changed once it is known.
type plan struct {
	op    op
	rt    reflect.Type
	elem  *plan // of arrays, slices, maps, pointers
	key   *plan
	len   int // of arrays
	quick quick
	// The fields that are sent, in order: their number is the one on the wire.
	fields []planField

	can     bool // a value can be encoded: no part of it is opCannot
	maps    bool // a part of it is a map, whose encoding has no fixed order
	steady  bool // as the key of a map, decoded twice, it is one key
	least   int  // bytes that a value takes at least, as an element
	checked atomic.Bool
	pairs   sync.Pool // of *pair, for maps
}

type planField struct {
	index int
	*plan
}

// of is the plan of rt. Its can is false if the type is not supported.
func (p *Plans) of(rt reflect.Type) *plan { return p.compile(rt, nil) }

// compile plans rt, which is a part of the types in within. A recursive type is not
// supported, and neither is a type of which it is a part.
func (p *Plans) compile(rt reflect.Type, within []reflect.Type) *plan {
	if known, ok := p.known.Load(rt); ok {
		return known.(*plan)
	}
	made := &plan{rt: rt, least: 1}
	if slices.Contains(within, rt) {
		return made
	}
	if !coded(rt) {
		p.fill(made, append(within, rt))
	}
	known, _ := p.known.LoadOrStore(rt, made)
	return known.(*plan)
}

func (p *Plans) fill(made *plan, within []reflect.Type) {
	rt := made.rt
	switch rt.Kind() {
	case reflect.Bool:
		made.basic(opBool, true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		made.basic(opInt, true)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		made.basic(opUint, true)
	case reflect.Float32, reflect.Float64:
		made.basic(opFloat, false) // NaN is a key of its own each time
	case reflect.Complex64, reflect.Complex128:
		made.basic(opComplex, false)
		made.least = 2
	case reflect.String:
		made.basic(opString, true)
	case reflect.Slice:
		elem := p.compile(rt.Elem(), within)
		if rt.Elem().Kind() == reflect.Uint8 {
			if elem.can {
				made.basic(opBytes, false)
			}
			return
		}
		made.op, made.elem = opSlice, elem
		made.can, made.maps = elem.can, elem.maps
		made.quick = quickFor(rt)
	case reflect.Array:
		elem := p.compile(rt.Elem(), within)
		made.op, made.elem, made.len = opArray, elem, rt.Len()
		made.can, made.maps, made.steady = elem.can, elem.maps, elem.steady
		if made.least = math.MaxInt32; made.len < math.MaxInt32/elem.least {
			made.least = 1 + made.len*elem.least
		}
	case reflect.Map:
		key, elem := p.compile(rt.Key(), within), p.compile(rt.Elem(), within)
		made.op, made.key, made.elem = opMap, key, elem
		made.can, made.maps = key.can && elem.can, true
		made.pairs.New = func() any {
			return &pair{key: reflect.New(rt.Key()).Elem(), elem: reflect.New(rt.Elem()).Elem()}
		}
	case reflect.Pointer:
		elem := p.compile(rt.Elem(), within)
		made.op, made.elem = opPointer, elem
		made.can, made.maps, made.least = elem.can, elem.maps, elem.least
	case reflect.Struct:
		p.fillStruct(made, within)
	}
}

func (p *Plans) fillStruct(made *plan, within []reflect.Type) {
	made.op, made.can, made.steady = opStruct, true, true
	for i := range made.rt.NumField() {
		f := made.rt.Field(i)
		if !sent(&f) {
			continue
		}
		part := p.compile(f.Type, within)
		made.fields = append(made.fields, planField{i, part})
		made.can = made.can && part.can
		made.maps = made.maps || part.maps
		made.steady = made.steady && part.steady
	}
	if made.rt.NumField() > 0 && len(made.fields) == 0 {
		made.can = false // an error in encoding/gob
	}
}

func (p *plan) basic(o op, steady bool) { p.op, p.can, p.steady = o, true, steady }

// coded reports whether rt has an encoding of its own. encoding/gob does not use the
// text methods so far, but reads them from a stream's definitions.
func coded(rt reflect.Type) bool {
	ptr := reflect.PointerTo(rt)
	for _, methods := range [...]reflect.Type{
		reflect.TypeFor[gob.GobEncoder](),
		reflect.TypeFor[gob.GobDecoder](),
		reflect.TypeFor[encoding.BinaryMarshaler](),
		reflect.TypeFor[encoding.BinaryUnmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](),
		reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if rt.Implements(methods) || ptr.Implements(methods) {
			return true
		}
	}
	return false
}

// sent is encoding/gob's isSent: fields of channels and functions count as
// unexported ones.
func sent(f *reflect.StructField) bool {
	rt := f.Type
	for range 100 { // a pointer may be to its own type
		if rt.Kind() != reflect.Pointer {
			break
		}
		rt = rt.Elem()
	}
	return exported(f.Name) && rt.Kind() != reflect.Chan && rt.Kind() != reflect.Func
}

func exported(name string) bool {
	r, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(r)
}

// HoldsInterface reports whether a value of the type can hold an interface value.
func HoldsInterface(rt reflect.Type) bool { return holds(rt, map[reflect.Type]bool{}) }

func holds(rt reflect.Type, seen map[reflect.Type]bool) bool {
	if rt == nil || seen[rt] {
		return false
	}
	seen[rt] = true
	switch rt.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holds(rt.Elem(), seen)
	case reflect.Map:
		return holds(rt.Key(), seen) || holds(rt.Elem(), seen)
	case reflect.Struct:
		for i := range rt.NumField() {
			if holds(rt.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// Tests: encode_test.go, random_test.go.
