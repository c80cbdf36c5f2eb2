package gobvalue

import (
	"math"
	"reflect"
)

// quick are shortcuts for slices of basic types: without a reflect.Value for each
// element they take a third of the time.
type quick struct {
	append func(b []byte, v reflect.Value) []byte
	read   func(data []byte, count int, v reflect.Value) (rest []byte, ok bool)
}

// quickFor has none for slices of named types: only reflection can handle them.
func quickFor(rt reflect.Type) quick {
	switch rt {
	case reflect.TypeFor[[]int]():
		return quick{appendInts[int], readInts[int]}
	case reflect.TypeFor[[]int16]():
		return quick{appendInts[int16], readInts[int16]}
	case reflect.TypeFor[[]int32]():
		return quick{appendInts[int32], readInts[int32]}
	case reflect.TypeFor[[]int64]():
		return quick{appendInts[int64], readInts[int64]}
	case reflect.TypeFor[[]uint]():
		return quick{appendUints[uint], readUints[uint]}
	case reflect.TypeFor[[]uint16]():
		return quick{appendUints[uint16], readUints[uint16]}
	case reflect.TypeFor[[]uint32]():
		return quick{appendUints[uint32], readUints[uint32]}
	case reflect.TypeFor[[]uint64]():
		return quick{appendUints[uint64], readUints[uint64]}
	case reflect.TypeFor[[]float32]():
		return quick{appendFloats[float32], readFloats[float32]}
	case reflect.TypeFor[[]float64]():
		return quick{appendFloats[float64], readFloats[float64]}
	case reflect.TypeFor[[]string]():
		return quick{appendStrings, readStrings}
	}
	return quick{}
}

func appendInts[T int | int16 | int32 | int64](b []byte, v reflect.Value) []byte {
	s, _ := reflect.TypeAssert[[]T](v)
	b = AppendUint(b, uint64(len(s)))
	for _, i := range s {
		b = AppendUint(b, ToUint(int64(i)))
	}
	return b
}

func appendUints[T uint | uint16 | uint32 | uint64](b []byte, v reflect.Value) []byte {
	s, _ := reflect.TypeAssert[[]T](v)
	b = AppendUint(b, uint64(len(s)))
	for _, x := range s {
		b = AppendUint(b, uint64(x))
	}
	return b
}

func appendFloats[T float32 | float64](b []byte, v reflect.Value) []byte {
	s, _ := reflect.TypeAssert[[]T](v)
	b = AppendUint(b, uint64(len(s)))
	for _, f := range s {
		b = AppendUint(b, floatBits(float64(f)))
	}
	return b
}

func appendStrings(b []byte, v reflect.Value) []byte {
	s, _ := reflect.TypeAssert[[]string](v)
	b = AppendUint(b, uint64(len(s)))
	for _, t := range s {
		b = AppendString(b, t)
	}
	return b
}

// room makes room for count elements in v, which are all written then. The slice that
// v has is used again if it is large enough, as in encoding/gob.
func room[T any](v reflect.Value, count int) []T {
	p, _ := reflect.TypeAssert[*[]T](v.Addr())
	if cap(*p) < count {
		*p = make([]T, count)
	}
	*p = (*p)[:count]
	return *p
}

func readInts[T int | int16 | int32 | int64](data []byte, count int, v reflect.Value) (rest []byte, ok bool) {
	s := room[T](v, count)
	for k := range s {
		x, n := ReadUint(data)
		i := ToInt(x)
		if n == 0 || int64(T(i)) != i {
			return nil, false
		}
		s[k], data = T(i), data[n:]
	}
	return data, true
}

func readUints[T uint | uint16 | uint32 | uint64](data []byte, count int, v reflect.Value) (rest []byte, ok bool) {
	s := room[T](v, count)
	for k := range s {
		x, n := ReadUint(data)
		if n == 0 || uint64(T(x)) != x {
			return nil, false
		}
		s[k], data = T(x), data[n:]
	}
	return data, true
}

func readFloats[T float32 | float64](data []byte, count int, v reflect.Value) (rest []byte, ok bool) {
	s := room[T](v, count)
	_, short := any(T(0)).(float32)
	for k := range s {
		x, n := ReadUint(data)
		f := bitsFloat(x)
		if a := math.Abs(f); n == 0 || short && a > math.MaxFloat32 && !math.IsInf(a, 0) {
			return nil, false
		}
		s[k], data = T(f), data[n:]
	}
	return data, true
}

func readStrings(data []byte, count int, v reflect.Value) (rest []byte, ok bool) {
	s := room[string](v, count)
	for k := range s {
		x, n := ReadUint(data)
		if data = data[n:]; n == 0 || x > uint64(len(data)) {
			return nil, false
		}
		s[k], data = string(data[:x]), data[x:]
	}
	return data, true
}

// Tests: decode_test.go, encode_test.go.
