package gobvalue

import (
	"reflect"
	"testing"
)

// fuzzTargets are what FuzzDecode decodes into.
func fuzzTargets() (types []reflect.Type) {
	types = append(types, done...)
	return append(types, reflect.TypeFor[wider](), reflect.TypeFor[recursive](), reflect.TypeFor[timed](), reflect.TypeFor[boxed](),
		reflect.TypeFor[holder](), reflect.TypeFor[map[float64]*int](), reflect.TypeFor[struct{ A, B []Inner }]())
}

// FuzzDecode reads a stream of any definitions and one value. If Decode says ok,
// encoding/gob takes the stream, too, and comes to the same. Else encoding/gob comes to
// what it would have come to alone.
func FuzzDecode(f *testing.F) {
	types := fuzzTargets()
	for i, rt := range done {
		stream := encoded(f, made(rt, uint64(i), false).Interface())
		f.Add(stream, uint8(i), uint64(i))
		f.Add(stream, uint8(i), uint64(1))
		for k := range types[len(done):] {
			f.Add(stream, uint8(len(done)+k), uint64(1))
		}
	}
	for i, v := range []any{
		wider{Name: "x", Fixed: [3]int16{1, 2, 3}, Blobs: [][]byte{{1}}},
		timed{Name: "x"},
		recursive{Name: "x", Next: &recursive{}},
		struct{ A, B int }{1, 2},
		struct {
			A []Inner
			B []hidden2
		}{[]Inner{{X: 1}}, []hidden2{{A: 1}}},
	} {
		f.Add(encoded(f, v), uint8(len(done)+i), uint64(i))
		f.Add(encoded(f, v), uint8(6), uint64(i)) // request
	}
	var plans Plans
	f.Fuzz(func(t *testing.T, stream []byte, target uint8, seed uint64) {
		// A message of a value, and definitions before it.
		var cut []byte
		for _, m := range split(stream) {
			cut = append(cut, withLength(m)...)
			if u, n := ReadUint(m); n == 0 || u&1 == 0 {
				break
			}
		}
		if len(cut) == 0 || len(cut) > 1<<12 {
			return
		}
		rt := types[int(target)%len(types)]
		fresh := func() reflect.Value {
			if seed == 0 {
				return reflect.New(rt)
			}
			return made(rt, seed, true)
		}
		r := newReader(&plans)
		r.take = seed%2 == 1
		ours := fresh()
		if !decodes(cut, ours) && plans.of(ours.Type()).maps {
			// encoding/gob makes a map as large as the message claims, before it
			// looks for the entries.
			return
		}
		ours, theirs := fresh(), fresh()
		ok, difference, err := r.check(cut, ours, theirs)
		if difference != "" {
			t.Fatalf("%v: ok %v, %v, %s", rt, ok, err, difference)
		}
		all := split(cut)
		value := all[len(all)-1]
		if ok {
			if ok, difference, err = r.check(withLength(value), ours, theirs); !ok || difference != "" {
				t.Fatalf("%v, once more: ok %v, %v, %s", rt, ok, err, difference)
			}
		}
		if r.own.Skip(value) && !loose(cut, value) {
			r = newReader(&plans)
			if err := r.alone.read(cut, reflect.Value{}); err != nil {
				t.Fatalf("skipped, encoding/gob says %v", err)
			}
		}
	})
}

// loose reports whether encoding/gob may fail to skip a value that is skipped here.
func loose(stream, value []byte) bool {
	g := NewGuard(new(Plans), 1<<20)
	for _, m := range split(stream) {
		if id, _ := ReadUint(m); id&1 != 0 && g.Define(m) != nil {
			return true
		}
	}
	id, _ := ReadUint(value)
	return g.Loose(ToInt(id))
}

func decodes(stream []byte, v reflect.Value) bool {
	all := split(stream)
	d := NewDecoder(new(Plans))
	for _, m := range all[:len(all)-1] {
		d.Define(m)
	}
	return d.decode(all[len(all)-1], v, nil)
}
