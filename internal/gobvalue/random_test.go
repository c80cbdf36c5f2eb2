package gobvalue

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

var basicTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](),
	reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](),
	reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
	reflect.TypeFor[complex64](), reflect.TypeFor[complex128](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
	reflect.TypeFor[flag](), reflect.TypeFor[small](), reflect.TypeFor[word](), reflect.TypeFor[blob](), reflect.TypeFor[octet](),
}

var keyTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[string](), reflect.TypeFor[word](),
	reflect.TypeFor[[2]int16](), reflect.TypeFor[Inner](), reflect.TypeFor[struct{ A [2]word }](),
}

// drawType draws a type that encoding/gob can send. It has pointers in structs, where they
// may be nil, and elsewhere, where they may not.
func drawType(t *rapid.T, depth int) reflect.Type {
	kinds := 3
	if depth > 0 {
		kinds = 10
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 4:
		return reflect.SliceOf(drawType(t, depth-1))
	case 5:
		return reflect.ArrayOf(rapid.IntRange(0, 3).Draw(t, "length"), drawType(t, depth-1))
	case 6:
		return reflect.MapOf(rapid.SampledFrom(keyTypes).Draw(t, "key"), drawType(t, depth-1))
	case 7:
		return reflect.PointerTo(drawType(t, depth-1))
	case 8, 9, 10:
		return drawStruct(t, depth)
	}
	return rapid.SampledFrom(basicTypes).Draw(t, "basic")
}

func drawStruct(t *rapid.T, depth int) reflect.Type {
	names := rapid.Permutation([]string{"A", "B", "C", "D", "E", "F"}).Draw(t, "names")
	fields := make([]reflect.StructField, rapid.IntRange(1, len(names)).Draw(t, "fields"))
	for i := range fields {
		fields[i] = reflect.StructField{Name: names[i], Type: drawType(t, depth-1)}
	}
	return reflect.StructOf(fields)
}

// other draws another version of rt, as another release of a program may have it.
func other(t *rapid.T, rt reflect.Type) reflect.Type {
	switch rt.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return rapid.SampledFrom([]reflect.Type{rt, rt, reflect.TypeFor[int64](), reflect.TypeFor[int8](), reflect.TypeFor[small]()}).Draw(t, "int")
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return rapid.SampledFrom([]reflect.Type{rt, rt, reflect.TypeFor[uint64](), reflect.TypeFor[uint16]()}).Draw(t, "uint")
	case reflect.Float32, reflect.Float64:
		return rapid.SampledFrom([]reflect.Type{reflect.TypeFor[float64](), rt}).Draw(t, "float")
	case reflect.String:
		return rapid.SampledFrom([]reflect.Type{rt, reflect.TypeFor[word](), reflect.TypeFor[*string]()}).Draw(t, "string")
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "direct") {
			return other(t, rt.Elem())
		}
		return reflect.PointerTo(other(t, rt.Elem()))
	case reflect.Slice:
		if rt.Elem().Kind() != reflect.Uint8 {
			return reflect.SliceOf(other(t, rt.Elem()))
		}
	case reflect.Array:
		return reflect.ArrayOf(rt.Len(), other(t, rt.Elem()))
	case reflect.Map:
		return reflect.MapOf(rt.Key(), other(t, rt.Elem()))
	case reflect.Struct:
		if rt.Name() != "" {
			return rt
		}
		var fields []reflect.StructField
		for i := range rt.NumField() {
			if rapid.IntRange(0, 4).Draw(t, "keep") > 0 {
				f := rt.Field(i)
				fields = append(fields, reflect.StructField{Name: f.Name, Type: other(t, f.Type)})
			}
		}
		if rapid.Bool().Draw(t, "more") {
			fields = append(fields, reflect.StructField{Name: "More", Type: drawType(t, 1)})
		}
		if len(fields) > 0 {
			return reflect.StructOf(rapid.Permutation(fields).Draw(t, "order"))
		}
	}
	return rt
}

func TestRandomTypesAreWrittenAsGobWritesThem(t *testing.T) {
	var plans Plans
	rapid.Check(t, func(t *rapid.T) {
		rt := drawType(t, 3)
		p := newPen(&plans)
		for i := range 6 {
			v := made(rt, rapid.Uint64().Draw(t, "seed"), i == 5).Interface()
			known, difference := p.compare(v)
			if difference != "" || !known && i > 0 && i < 5 {
				t.Fatalf("%v: written by Append: %v %s", rt, known, difference)
			}
		}
	})
}

func TestRandomTypesAreReadAsGobReadsThem(t *testing.T) {
	var plans Plans
	rapid.Check(t, func(t *rapid.T) {
		sent := drawType(t, 3)
		got := sent
		if rapid.Bool().Draw(t, "other version") {
			got = other(t, sent)
		}
		p, r := newPen(&plans), newReader(&plans)
		r.take = rapid.Bool().Draw(t, "take")
		ours, theirs := reflect.New(got), reflect.New(got)
		for range 4 {
			stream, err := p.write(made(sent, rapid.Uint64().Draw(t, "seed"), false).Interface())
			if err != nil {
				t.Fatal(err)
			}
			if seed := rapid.Uint64().Draw(t, "filled"); seed%2 == 0 {
				ours, theirs = made(got, seed, true), made(got, seed, true)
			}
			ok, difference, err := r.check(stream, ours, theirs)
			if difference != "" || !ok && got == sent {
				t.Fatalf("%v to %v: ok %v, %v, %s", sent, got, ok, err, difference)
			}
			if !r.own.Skip(lastValue(stream)) {
				t.Fatalf("%v is not skipped", sent)
			}
		}
	})
}
