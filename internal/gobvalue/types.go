package gobvalue

import "reflect"

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
