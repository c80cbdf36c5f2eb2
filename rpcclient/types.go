package rpcclient

import (
	"reflect"
	"sync"
	"sync/atomic"
)

// failedTypes remembers the argument types that could not be encoded once. Nearly
// always there are none.
type failedTypes struct {
	some atomic.Bool
	m    sync.Map // of reflect.Type
}

func (t *failedTypes) has(v any) bool {
	if !t.some.Load() {
		return false
	}
	_, ok := t.m.Load(reflect.TypeOf(v))
	return ok
}

func (t *failedTypes) add(rt reflect.Type) {
	t.m.Store(rt, true)
	t.some.Store(true)
}

// holdsInterface tells whether a value of the type can hold an interface value.
func holdsInterface(rt reflect.Type) bool { return holds(rt, map[reflect.Type]bool{}) }

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
