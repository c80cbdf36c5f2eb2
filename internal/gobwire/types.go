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
