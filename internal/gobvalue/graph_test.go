package gobvalue

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Types that no encoder defines: of ids that are not defined, or defined later, of
// themselves, of interfaces, of other types than in the receiver.
type (
	leaf   struct{ A, B int }
	branch struct {
		A, B []leaf
		C    map[string]leaf
	}
	crown struct {
		A branch
		B *branch
		C [2]leaf
	}
	twigs struct {
		A map[string][]string
		B [][]int
		C leaf
	}
)

// graph is a set of definitions.
type graph struct {
	*rapid.T
	shapes map[int32]*shape
}

func (g graph) id() int32 {
	return int32(rapid.SampledFrom([]int{2, 2, 6, 5, 1, 3, 4, 7, 64, 65, 66, 67, 64, 65, 66, 67, 8, 16, 68}).Draw(g.T, "id"))
}

func (g graph) define(id int32) []byte {
	s := &shape{op: rapid.SampledFrom([]op{opStruct, opStruct, opStruct, opSlice, opMap, opArray, opCoded}).Draw(g.T, "op")}
	g.shapes[id] = s
	b := AppendUint(nil, ToUint(-int64(id)))
	kind := map[op]byte{opArray: 1, opSlice: 2, opStruct: 3, opMap: 4, opCoded: 5}[s.op]
	b = append(b, kind, 1, 0) // CommonType has neither name nor id
	part := func(id int32) int32 {
		b = AppendUint(append(b, 1), ToUint(int64(id)))
		return id
	}
	switch s.op {
	case opStruct:
		n := rapid.IntRange(1, 3).Draw(g.T, "fields")
		b = append(b, 1, byte(n))
		for range n {
			name := rapid.SampledFrom([]string{"A", "B", "C", "a", "D"}).Draw(g.T, "name")
			f := wireField{name, wireType{id: g.id()}}
			b = AppendUint(append(AppendString(append(b, 1), name), 1), ToUint(int64(f.id)))
			b = append(b, 0)
			s.fields = append(s.fields, f)
		}
	case opArray:
		s.elem.id = part(g.id())
		if s.len = uint64(rapid.IntRange(0, 2).Draw(g.T, "length")); s.len > 0 {
			b = AppendUint(append(b, 1), ToUint(int64(s.len)))
		}
	case opMap:
		s.key.id = part(rapid.SampledFrom([]int32{6, 6, 2, g.id()}).Draw(g.T, "key"))
		s.elem.id = part(g.id())
	case opSlice:
		s.elem.id = part(g.id())
	}
	return append(b, 0, 0)
}

// value appends a value of the type, as far as it has one.
func (g graph) value(b []byte, id int32, depth int) []byte {
	few := rapid.IntRange(0, 2)
	if depth > 6 {
		few = rapid.Just(0)
	}
	s := g.shapes[id]
	switch {
	case id == 7:
		return append(b, 0, 1)
	case s == nil && (id == 5 || id == 6), s != nil && s.op == opCoded:
		return append(b, 2, 'x', byte(rapid.IntRange('a', 'c').Draw(g.T, "letter")))
	case s == nil:
		return append(b, byte(rapid.IntRange(0, 3).Draw(g.T, "number")))
	}
	switch s.op {
	case opStruct:
		last := -1
		for i, f := range s.fields {
			if depth < 6 && rapid.IntRange(0, 3).Draw(g.T, "set") > 0 {
				b = g.value(append(b, byte(i-last)), f.id, depth+1)
				last = i
			}
		}
		return append(b, 0)
	case opArray:
		b = append(b, byte(s.len))
		if depth < 9 {
			for range s.len {
				b = g.value(b, s.elem.id, depth+1)
			}
		}
	default:
		n := few.Draw(g.T, "count")
		b = append(b, byte(n))
		for range n {
			if s.op == opMap {
				b = g.value(b, s.key.id, depth+1)
			}
			b = g.value(b, s.elem.id, depth+1)
		}
	}
	return b
}

func TestRandomDefinitionsAreReadAsGobReadsThem(t *testing.T) {
	targets := []reflect.Type{
		reflect.TypeFor[leaf](), reflect.TypeFor[branch](), reflect.TypeFor[crown](), reflect.TypeFor[twigs](),
		reflect.TypeFor[[]leaf](), reflect.TypeFor[map[string]branch](), reflect.TypeFor[[2]twigs](), reflect.TypeFor[map[leaf]leaf](),
	}
	var plans Plans
	rapid.Check(t, func(t *rapid.T) {
		g := graph{t, map[int32]*shape{}}
		ids := []int32{64, 65, 66, 67}[:rapid.IntRange(1, 4).Draw(t, "definitions")]
		var stream []byte
		for _, id := range ids {
			stream = append(stream, withLength(g.define(id))...)
		}
		top := rapid.SampledFrom(append(slices.Clone(ids), 2)).Draw(t, "top")
		value := AppendUint(nil, ToUint(int64(top)))
		if s := g.shapes[top]; s == nil || s.op != opStruct {
			value = append(value, 0)
		}
		value = g.value(value, top, 0)
		stream = append(stream, withLength(value)...)
		for _, rt := range targets {
			r := newReader(&plans)
			ok, difference, err := r.check(stream, reflect.New(rt), reflect.New(rt))
			if difference != "" {
				t.Fatalf("%x to %v: ok %v, %v, %s", stream, rt, ok, err, difference)
			}
		}
		r := newReader(&plans)
		for _, m := range split(stream) {
			if u, _ := ReadUint(m); u&1 != 0 {
				r.own.Define(m)
			}
		}
		if r.own.Skip(value) && !loose(stream, value) {
			if err := r.alone.read(stream, reflect.Value{}); err != nil {
				t.Fatalf("%x is skipped, encoding/gob says %v", stream, err)
			}
		}
	})
}
