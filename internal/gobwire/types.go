package gobwire

import (
	"reflect"
	"sync"
	"sync/atomic"
)

// FailedTypes remembers the types of which a value could not be encoded once. Nearly
// always there are none. The zero value is ready; safe for concurrent use.
//
// What encoding/gob had written of such a value is lost, and with it the definitions
// of types that it met within interface values, which it does not write again. So a
// value of such a type is better tried elsewhere first, from then on: it is encoded
// twice.
type FailedTypes struct {
	some atomic.Bool
	m    sync.Map // of reflect.Type
}

// Has reports whether the type of v failed.
func (t *FailedTypes) Has(v any) bool {
	if !t.some.Load() {
		return false
	}
	_, ok := t.m.Load(reflect.TypeOf(v))
	return ok
}

// Add remembers the type of v.
func (t *FailedTypes) Add(v any) {
	t.m.Store(reflect.TypeOf(v), true)
	t.some.Store(true)
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

// Cut reports whether a stream of whole messages holds a value that is cut in two by
// the definitions of types that it met within interface values.
func Cut(stream []byte) bool {
	values := 0
	for len(stream) > 0 {
		size, n := ReadUint(stream)
		if n == 0 || size > uint64(len(stream)-n) {
			break
		}
		if id, _ := ReadUint(stream[n:]); id&1 == 0 {
			values++
		}
		stream = stream[n+int(size):]
	}
	return values > 1
}

// AppendDefinitions appends to b those messages of stream that define types, which have
// to be kept of a value that failed. b may be stream's own beginning: it never grows
// beyond what was read.
func AppendDefinitions(b, stream []byte) []byte {
	for len(stream) > 0 {
		size, n := ReadUint(stream)
		end := n + int(size)
		if n == 0 || end > len(stream) {
			return b
		}
		if id, _ := ReadUint(stream[n:]); id&1 != 0 {
			b = append(b, stream[:end]...)
		}
		stream = stream[end:]
	}
	return b
}
