package gobvalue

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// deep is a value of one of the recursive types, nested so deep. It is written by hand,
// after its definitions, and within an interface value of the given name if there is one.
func deep(t testing.TB, v any, name string, down, up []byte, depth int) (stream []byte) {
	t.Helper()
	all := encoded(t, v)
	last := LastMessage(all)
	_, n := ReadUint(last)
	_, k := ReadUint(last[n:])
	id := last[n : n+k]
	value := append(bytes.Repeat(down, depth), bytes.Repeat(up, depth)...)
	if reflect.TypeOf(v).Kind() != reflect.Struct {
		value = append(append([]byte{0}, value...), 0)
	}
	stream = bytes.Clone(all[:len(all)-len(last)])
	message := append(bytes.Clone(id), value...)
	if name != "" {
		message = append(AppendUint(nil, ToUint(int64(opInterface))), 0)
		message = append(AppendString(message, name), id...)
		message = append(AppendUint(message, uint64(len(value))), value...)
	}
	return appendMessage(stream, message)
}

// TestGuardRefusesDepth in every position. encoding/gob would overflow the stack at the
// same nesting some hundred times deeper, which no test survives: rpcserver has one in a
// process of its own.
func TestGuardRefusesDepth(t *testing.T) {
	kinds := map[string]struct {
		v        any
		name     string
		down, up []byte
	}{
		"structs": {chain{V: 1}, "", []byte{2}, []byte{0}},
		"slices":  {nest{{}}, "", []byte{1}, nil},
		"maps":    {wood{"a": nil}, "", []byte{1, 1, 'x'}, nil},
	}
	targets := []any{nil, new(chain), new(flat), new(nest), new(wood), new(string), new(any), new(items)}
	for name, k := range kinds {
		for _, registered := range []string{"", gobName(k.v)} {
			for _, target := range targets {
				var plans Plans
				within := newGuarded(&plans)
				if _, err := within.read(deep(t, k.v, registered, k.down, k.up, maxDepth/2), target); errors.Is(err, errRefused) {
					t.Errorf("%s in %q to %T, %d deep: %v", name, registered, target, maxDepth/2, err)
				}
				beyond := newGuarded(&plans)
				_, err := beyond.read(deep(t, k.v, registered, k.down, k.up, 200_000), target)
				if skipped := target == nil && registered != ""; (err == nil) != skipped { // by its length
					t.Errorf("%s in %q to %T: %v", name, registered, target, err)
				}
			}
		}
	}
}

func gobName(v any) string {
	rt := reflect.TypeOf(v)
	return rt.PkgPath() + "." + rt.Name()
}

// TestGuardRefusesInterfacesWithinInterfaces without an end.
func TestGuardRefusesInterfacesWithinInterfaces(t *testing.T) {
	level := []byte{1}
	level = AppendString(level, "[]interface {}")
	all := encoded(t, []any{1})
	_, n := ReadUint(LastMessage(all))
	id, _ := ReadUint(LastMessage(all)[n:])
	level = append(AppendUint(level, id), 1, 0) // any length, and the zero
	stream := bytes.Clone(all[:len(all)-len(LastMessage(all))])
	message := append(AppendUint(nil, id), 0)
	message = append(message, bytes.Repeat(level, 400_000)...)
	stream = appendMessage(stream, append(message, 0))
	for _, into := range []any{new([]any), new(any), new(string), nil} {
		_, err := newGuarded(new(Plans)).read(stream, into)
		if err == nil && into != nil || errors.Is(err, errDeep) != (fmt.Sprintf("%T", into) == "*[]interface {}") {
			t.Errorf("into %T: %v", into, err)
		}
	}
}

// TestGuardRefusesCounts that claim memory, or time.
func TestGuardRefusesCounts(t *testing.T) {
	type empties map[empty]empty
	type wide struct{ A [100]int }
	for name, tt := range map[string]struct {
		v    any
		body []byte // behind the id and the zero
	}{
		"a map":              {map[uint64]uint64{1: 1}, []byte{0xfd, 0x80, 0, 0, 1, 1}},
		"a large map":        {map[uint64]uint64{1: 1}, []byte{0xf8, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1}},
		"a map of nothing":   {empties{{}: {}}, []byte{0xfc, 0x70, 0, 0, 0, 0, 0}},
		"a map of anything":  {map[string]any{"x": 1}, []byte{0xfc, 0x40, 0, 0, 0, 1, 'x', 0}},
		"a slice":            {[]uint64{1}, []byte{0xfc, 0x7f, 0, 0, 0, 1, 1}},
		"a slice of slices":  {nest{{}}, []byte{0xfd, 0x0f, 0, 0, 0xfd, 0x0f, 0, 0, 0xfd, 0x0f, 0, 0}},
		"a slice of strings": {[]string{"x"}, []byte{0xfc, 0x7f, 0, 0, 0, 1, 1}},
		"large elements":     {[]wide{{}}, append(AppendUint(nil, 200_000), make([]byte, 200_000)...)},
	} {
		all := encoded(t, tt.v)
		last := LastMessage(all)
		_, n := ReadUint(last)
		_, k := ReadUint(last[n:])
		message := append(append(bytes.Clone(last[n:n+k]), 0), tt.body...)
		stream := appendMessage(bytes.Clone(all[:len(all)-len(last)]), message)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := newGuarded(new(Plans)).read(stream, reflect.New(reflect.TypeOf(tt.v)).Interface())
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 || !errors.Is(err, errRefused) {
			t.Errorf("%s: %d bytes are allocated, %v", name, used, err)
		}
	}
}

// agree reads a damaged stream with a Guard and encoding/gob, and says how the two differ
// about where a value ends, and whether there is one.
func agree(stream []byte, v any) (difference string) {
	g := newGuarded(new(Plans))
	_, err := g.read(stream, v)
	if err != nil && strings.Contains(err.Error(), "encoding/gob left") {
		return err.Error()
	}
	return ""
}

// FuzzGuard: a value that a Guard lets pass costs encoding/gob no more memory than
// allowed, and ends for both at the same place.
func FuzzGuard(f *testing.F) {
	types := append(fuzzTargets(), reflect.TypeFor[anyBox](), reflect.TypeFor[anyList](), reflect.TypeFor[anyMap](), reflect.TypeFor[items](),
		reflect.TypeFor[[]older](), reflect.TypeFor[chain](), reflect.TypeFor[nest](), reflect.TypeFor[wood](), reflect.TypeFor[any]())
	for i, v := range []any{
		anyBox{A: anyBox{A: anyList{nil, 1, "x"}, B: array{1, 2}}},
		items{{Note: anyMap{"a": anyList{items{{Name: "y"}}}}}},
		nest{{{}}},
		wood{"a": {"b": {}}},
		chain{Next: &chain{Next: &chain{}}},
		map[string]any{"list": []any{1, []any{"x", nil}}},
	} {
		f.Add(encoded(f, v), uint8(i))
		f.Add(encoded(f, v), uint8(len(types)-6+i))
		f.Add(deep(f, chain{V: 1}, "", []byte{2}, []byte{0}, 100), uint8(i))
		f.Add(deep(f, nest{{}}, gobName(nest{}), []byte{0xfc, 0x7f, 0, 0, 0}, nil, 100), uint8(len(types)-1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, target uint8) {
		if len(stream) > 1<<14 {
			return
		}
		var v any
		if target != 255 {
			v = reflect.New(types[int(target)%len(types)]).Interface()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if d := agree(stream, v); d != "" {
			t.Fatalf("%x into %T: %s", stream, v, d)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Fatalf("%x into %T: %d bytes are allocated", stream, v, used)
		}
	})
}

// TestGuardAndGobEndAtTheSamePlace for streams with a byte changed here and there.
func TestGuardAndGobEndAtTheSamePlace(t *testing.T) {
	streams := [][]byte{
		encoded(t, anyBox{A: anyBox{A: anyList{nil, 1, "x"}, B: array{1, 2}}}), encoded(t, items{{Name: "a", Note: anyMap{"a": nil}}, {Note: 5}}),
		encoded(t, chain{Next: &chain{Next: &chain{V: 3}}}), encoded(t, map[string]any{"list": []any{1, []any{"x", nil}}}), encoded(t, wood{"a": {"b": {}}}),
	}
	targets := []any{new(anyBox), new(items), new([]older), new(chain), new(flat), new(map[string]any), new(wood), nil}
	rapid.Check(t, func(t *rapid.T) {
		stream := bytes.Clone(rapid.SampledFrom(streams).Draw(t, "stream"))
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			stream[rapid.IntRange(0, len(stream)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		target := rapid.SampledFrom(targets).Draw(t, "target")
		if target != nil {
			target = reflect.New(reflect.TypeOf(target).Elem()).Interface()
		}
		if d := agree(stream, target); d != "" {
			t.Fatalf("%x into %T: %s", stream, target, d)
		}
	})
}
