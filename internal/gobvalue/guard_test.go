package gobvalue

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// guarded reads a stream as the two ends of a connection do it: every message passes a
// Guard before encoding/gob gets it.
type guarded struct {
	guard *Guard
	dec   *gob.Decoder
	in    bytes.Buffer
}

func newGuarded(plans *Plans) *guarded {
	g := &guarded{guard: NewGuard(plans, 64<<20)}
	g.dec = gob.NewDecoder(&g.in)
	return g
}

var errRefused = errors.New("refused")

// read decodes the next value into v, nil: skips it. left is what the Guard did not
// take for a part of it.
func (g *guarded) read(stream []byte, v any) (left []byte, err error) {
	left = stream
	next := func() ([]byte, error) {
		n, k := ReadUint(left)
		if k == 0 || n > uint64(len(left)-k) {
			return nil, io.ErrUnexpectedEOF
		}
		m := left[k : k+int(n)]
		left = left[k+int(n):]
		return m, nil
	}
	for {
		m, err := next()
		if err != nil {
			return left, err
		}
		u, n := ReadUint(m)
		if n > 0 && ToInt(u) < 0 {
			if err := g.guard.Define(m); err != nil {
				return left, fmt.Errorf("%w: %w", errRefused, err)
			}
			continue
		}
		var into reflect.Type
		more := next
		if v == nil {
			more = nil
		} else {
			into = reflect.TypeOf(v)
		}
		if err := g.guard.Check(m, into, more); err != nil {
			return left, fmt.Errorf("%w: %w", errRefused, err)
		}
		break
	}
	g.in.Reset()
	g.in.Write(stream[:len(stream)-len(left)])
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		g.guard.Keep()
	}()
	if v == nil {
		err = g.dec.DecodeValue(reflect.Value{})
	} else {
		err = g.dec.Decode(v)
	}
	if err == nil && g.in.Len() > 0 {
		err = fmt.Errorf("encoding/gob left %d bytes of the value", g.in.Len())
	}
	return left, err
}

type (
	anyBox  struct{ A, B any }
	anyList []any
	anyMap  map[string]any
	items   []item
	item    struct {
		Name string
		Note any
		Next *item
	}
	older struct{ Name string } // item, before it had a Note
	chain struct {
		V    int
		Next *chain
	}
	nest  []nest
	wood  map[string]wood
	flat  struct{ V int }
	array [2]int
)

func init() {
	for _, v := range []any{anyBox{}, anyList{}, anyMap{}, items{}, &item{}, chain{}, nest{}, wood{}, array{}, word(""), []any{}, map[string]any{}} {
		gob.Register(v)
	}
}

// TestGuardLetsPassWhatEncodersWrite, and knows where it ends.
func TestGuardLetsPassWhatEncodersWrite(t *testing.T) {
	values := []any{
		anyBox{A: anyBox{A: anyList{nil, 1, "x"}, B: array{1, 2}}},
		anyBox{B: &item{Note: anyMap{"a": anyList{items{{Name: "y"}}}}}},
		anyList{nil, nil, items{{Note: 5}, {Note: nil}}, word("w"), 7, chain{V: 1, Next: &chain{}}},
		anyMap{"x": nil, "y": nest{{}, {{}}}},
		items{{Name: "a", Next: &item{Note: wood{"x": {"y": nil}}}}},
		nest{{{}}},
		wood{"a": {"b": {}}},
		chain{Next: &chain{Next: &chain{}}},
		map[string]any{"list": []any{1, []any{"x", nil}, map[string]any{"deep": []any{}}}},
		[]any{},
		5, "x", []byte("y"),
		[3]bool{true},
	}
	for _, rt := range done {
		for seed := range uint64(5) {
			values = append(values, made(rt, seed, false).Elem().Interface())
		}
	}
	var plans Plans
	for round := range 3 { // of one stream: types are new once
		g := newGuarded(&plans)
		p := newPen(&plans)
		for i, v := range values {
			if round == 1 {
				v = values[len(values)-1-i]
			}
			stream, err := p.write(v)
			if err != nil {
				t.Fatalf("%T: %v", v, err)
			}
			into := reflect.New(reflect.TypeOf(v))
			if left, err := g.read(stream, into.Interface()); err != nil || len(left) > 0 {
				t.Fatalf("round %d, %T: %d bytes left, %v", round, v, len(left), err)
			}
			if again, err := p.write(v); err != nil {
				t.Fatal(err)
			} else if left, err := g.read(again, nil); err != nil && !HoldsInterface(into.Type()) || len(left) > 0 {
				t.Fatalf("round %d, %T skipped: %d bytes left, %v", round, v, len(left), err)
			}
		}
	}
	// Fields of interface values that we do not have.
	g, p := newGuarded(&plans), newPen(&plans)
	for _, v := range []any{items{{Name: "a", Note: 5}, {Name: "b", Note: "x"}}, items{{Name: "c", Note: array{1, 2}}}} {
		stream, err := p.write(v)
		if err != nil {
			t.Fatal(err)
		}
		var got []older
		if left, err := g.read(stream, &got); err != nil || len(left) > 0 {
			t.Fatalf("%d bytes left, %v, got %v", len(left), err, got)
		}
	}
}

// deep is a value of one of the recursive types, nested so deep, written by hand behind
// its definitions, and within an interface value of the given name if there is one.
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

func TestGuardBoundsDefinitions(t *testing.T) {
	all := split(encoded(t, request{Seq: 1}))
	_, n := ReadUint(all[0])
	g := NewGuard(new(Plans), 1<<20)
	var err error
	sum := 0
	for id := int64(100); err == nil; id++ {
		m := append(AppendUint(nil, ToUint(-id)), all[0][n:]...)
		err = g.Define(m)
		sum += len(m)
	}
	if err != errDefinitions || sum < maxDefinitions || sum > maxDefinitions*2 {
		t.Errorf("%v after %d bytes", err, sum)
	}
	for name, bad := range map[string][]byte{"nothing": {}, "a value": all[1], "a part": all[0][:len(all[0])-1], "more": append(bytes.Clone(all[0]), 0)} {
		if err := NewGuard(new(Plans), 1<<20).Define(bad); err == nil {
			t.Errorf("%s is taken for a definition", name)
		}
	}
	g = NewGuard(new(Plans), 1<<20)
	if err := errors.Join(g.Define(all[0]), g.Define(all[0])); err == nil || !strings.Contains(err.Error(), errTwice.Error()) {
		t.Errorf("a second definition: %v", err)
	}
}

// TestArrayOfItself has no smallest value.
func TestArrayOfItself(t *testing.T) {
	g := NewGuard(new(Plans), 1<<20)
	id := AppendUint(nil, ToUint(70))
	def := append(AppendUint(nil, ToUint(-70)), 1, 1, 0, 1) // ArrayT, an empty CommonType, Elem
	def = append(append(def, id...), 1, 4, 0, 0)            // of 2
	if err := g.Define(def); err != nil {
		t.Fatal(err)
	}
	message := append(AppendUint(nil, ToUint(int64(opInterface))), 0)
	message = append(append(AppendString(message, "[]interface {}"), id...), 1, 0, 2)
	if err := g.Check(message, reflect.TypeFor[*any](), nil); err != errArray {
		t.Errorf("got %v", err)
	}
}

// agree reads a damaged stream with a Guard and encoding/gob, and says how the two come
// to differ about where a value ends, and whether there is one.
func agree(stream []byte, v any) (difference string) {
	g := newGuarded(new(Plans))
	_, err := g.read(stream, v)
	if err != nil && strings.Contains(err.Error(), "encoding/gob left") {
		return err.Error()
	}
	return ""
}

// FuzzGuard: what a Guard lets pass costs encoding/gob no more memory than it may, and
// ends for both at the same place.
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

// TestDecoderUnderAGuardLeavesLargeValuesToIt: no count is wrong, but what the elements
// are on the wire says little of what they are here.
func TestDecoderUnderAGuardLeavesLargeValuesToIt(t *testing.T) {
	type wide struct{ A [100]int }
	all := split(encoded(t, [][]wide{{{}}}))
	value := all[len(all)-1]
	_, n := ReadUint(value)
	message := append(bytes.Clone(value[:n]), 0)
	message = AppendUint(message, 1000)
	for range 1000 {
		message = append(append(message, 80), make([]byte, 80)...)
	}
	for most, want := range map[int]bool{1 << 20: false, 100 << 20: true} {
		var plans Plans
		d, g := NewDecoder(&plans), NewGuard(&plans, most)
		d.Under(g)
		for _, m := range all[:len(all)-1] {
			if err := g.Define(m); err != nil {
				t.Fatal(err)
			}
			d.Define(m)
		}
		var v [][]wide
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if ok := d.Decode(message, &v); ok != want {
			t.Errorf("with %d bytes: %v", most, ok)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; !want && used > 1<<20 {
			t.Errorf("with %d bytes %d are allocated", most, used)
		}
	}
}
