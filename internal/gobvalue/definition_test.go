package gobvalue

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"
)

func TestDefinitionsEndWithABadOne(t *testing.T) {
	stream := encoded(t, request{Seq: 1})
	definition, value := split(stream)[0], lastValue(stream)
	_, n := ReadUint(definition)
	low := append(AppendUint(nil, ToUint(-20)), definition[n:]...)
	far := append(AppendUint(nil, ToUint(-(1<<32+300))), definition[n:]...)
	other := append(AppendUint(nil, ToUint(-300)), definition[n:]...)
	for name, bad := range map[string][]byte{
		"nothing": {}, "a value": value, "a part": other[:len(other)-1], "more": append(bytes.Clone(other), 0), "seen before": definition, "low": low, "far": far,
	} {
		var plans Plans
		d := NewDecoder(&plans)
		d.Define(definition)
		if !d.Decode(value, new(request)) {
			t.Fatal("the good one is not known")
		}
		d.Define(bad)
		if d.Decode(value, new(request)) || d.Skip(value) {
			t.Errorf("%s: values are read after it", name)
		}
		d.Define(other)
	}
	var plans Plans
	d := NewDecoder(&plans)
	d.Define(definition)
	d.Define(other)
	if !d.Decode(value, new(request)) {
		t.Error("two definitions alike are too many")
	}
}

func TestDefinitionsAreBounded(t *testing.T) {
	stream := encoded(t, request{Seq: 1})
	definition, value := split(stream)[0], lastValue(stream)
	_, n := ReadUint(definition)
	var plans Plans
	d := NewDecoder(&plans)
	d.Define(definition)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	known := 0
	for id := int64(100000); id < 200000; id++ {
		d.Define(append(AppendUint(nil, ToUint(-id)), definition[n:]...))
		if d.Decode(value, new(request)) {
			known++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if known < 1000 || known > 10000 {
		t.Errorf("%d types are known", known)
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > maxKept {
		t.Errorf("%d bytes are kept", kept)
	}
	if d.Skip(value) {
		t.Error("it goes on")
	}
}

func TestRecursiveDefinitionsAreLeftToGob(t *testing.T) {
	// []T with T its own element, and a struct that holds it, sent for a type without
	// such a field: it would be skipped.
	define := func(id int64, kind byte, rest ...byte) []byte {
		b := AppendUint(nil, ToUint(-id))
		b = append(b, kind, 1, 2) // its CommonType has an id alone
		b = append(AppendUint(b, ToUint(id)), 0)
		return append(append(b, rest...), 0, 0)
	}
	id := func(id int64) []byte { return AppendUint(nil, ToUint(id)) }
	slice := define(70, 2, append([]byte{1}, id(70)...)...)
	fields := append([]byte{1, 2, 1, 1, 'A', 1}, id(2)...)
	fields = append(fields, 0, 1, 1, 'B', 1)
	fields = append(append(fields, id(70)...), 0)
	structure := define(71, 3, fields...)
	value := append(id(71), 1, 2)                                          // A: 1
	value = append(value, 1)                                               // B
	value = append(append(value, bytes.Repeat([]byte{1}, 10000)...), 0, 0) // [[[[...]]]]
	type target struct{ A int }
	var plans Plans
	r := newReader(&plans)
	stream := append(append(withLength(slice), withLength(structure)...), withLength(value)...)
	ok, difference, err := r.check(stream, reflect.ValueOf(new(target)), reflect.ValueOf(new(target)))
	if ok || err != nil || difference != "" {
		t.Errorf("ok %v, %v, %s", ok, err, difference)
	}
	if r.own.Skip(value) {
		t.Error("skipped")
	}
}
