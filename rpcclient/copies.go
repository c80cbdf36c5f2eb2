package rpcclient

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"sync"
	"time"
)

// copies makes copies of arguments, for calls that go on after the caller may change its
// argument.
type copies struct {
	gob  bool     // the codec is gob, so that a copy through gob is encoded equally
	ways sync.Map // reflect.Type -> way
}

// way is how a value of a type is copied.
type way uint8

const (
	shallow way = iota // by assignment
	deep               // part by part
	coded              // by encoding/gob
)

// of returns a copy that shares no memory with v that can change.
func (c *copies) of(v any) (own any, ok bool) {
	if v == nil {
		return nil, true
	}
	src := reflect.ValueOf(v)
	switch c.way(src.Type(), nil) {
	case shallow:
		return v, true // v holds a copy already
	case deep:
		dst := reflect.New(src.Type()).Elem()
		c.copy(dst, src)
		return dst.Interface(), true
	}
	if !c.gob {
		return v, false
	}
	return codedCopy(v)
}

func codedCopy(v any) (own any, ok bool) {
	defer func() {
		if recover() != nil { // a panic in a method of the type
			own, ok = v, false
		}
	}()
	var buf bytes.Buffer
	if gob.NewEncoder(&buf).Encode(v) != nil {
		return v, false
	}
	rt := reflect.TypeOf(v)
	dst := reflect.New(rt)
	if gob.NewDecoder(&buf).DecodeValue(dst) != nil {
		return v, false
	}
	return dst.Elem().Interface(), true
}

var timeType = reflect.TypeFor[time.Time]()

// way finds out how to copy a value of type rt. within are the types that contain it.
func (c *copies) way(rt reflect.Type, within []reflect.Type) way {
	if w, ok := c.ways.Load(rt); ok {
		return w.(way)
	}
	for _, t := range within {
		if t == rt {
			return coded // recursive: the value may contain itself
		}
	}
	w := c.find(rt, append(within, rt))
	c.ways.Store(rt, w)
	return w
}

func (c *copies) find(rt reflect.Type, within []reflect.Type) way {
	switch rt.Kind() {
	case reflect.Slice, reflect.Pointer:
		return max(deep, c.way(rt.Elem(), within))
	case reflect.Map:
		return max(deep, c.way(rt.Key(), within), c.way(rt.Elem(), within))
	case reflect.Array:
		return c.way(rt.Elem(), within)
	case reflect.Struct:
		if rt == timeType {
			return shallow // what it points to does not change
		}
		w := shallow
		for i := range rt.NumField() {
			f := rt.Field(i)
			fw := c.way(f.Type, within)
			if fw > shallow && !f.IsExported() {
				fw = coded // reflect cannot set an unexported field
			}
			w = max(w, fw)
		}
		return w
	case reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return coded
	}
	return shallow
}

// copy copies src to dst, which can be set, in the way of its type.
func (c *copies) copy(dst, src reflect.Value) {
	dst.Set(src)
	if c.way(src.Type(), nil) == shallow {
		return
	}
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
			c.copy(dst.Elem(), src.Elem())
		}
	case reflect.Slice:
		if src.IsNil() {
			return
		}
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		reflect.Copy(dst, src)
		if c.way(src.Type().Elem(), nil) > shallow {
			c.each(dst, src)
		}
	case reflect.Array:
		c.each(dst, src)
	case reflect.Map:
		if src.IsNil() {
			return
		}
		dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
		key, elem := reflect.New(src.Type().Key()).Elem(), reflect.New(src.Type().Elem()).Elem()
		for it := src.MapRange(); it.Next(); {
			key.SetZero()
			c.copy(key, it.Key())
			elem.SetZero()
			c.copy(elem, it.Value())
			dst.SetMapIndex(key, elem)
		}
	case reflect.Struct:
		for i := range src.NumField() {
			if c.way(src.Type().Field(i).Type, nil) > shallow {
				c.copy(dst.Field(i), src.Field(i))
			}
		}
	}
}

func (c *copies) each(dst, src reflect.Value) {
	for i := range src.Len() {
		c.copy(dst.Index(i), src.Index(i))
	}
}
