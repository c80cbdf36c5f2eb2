package gobvalue

import (
	"bytes"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestValuesAreReadAsGobReadsThem(t *testing.T) {
	var plans Plans
	for _, rt := range done {
		p, r := newPen(&plans), newReader(&plans)
		ours, theirs := reflect.New(rt), reflect.New(rt) // used again and again
		for seed := range uint64(60) {
			r.take = seed%2 == 1
			stream, err := p.write(made(rt, seed, false).Interface())
			if err != nil {
				t.Fatal(err)
			}
			if seed%3 == 0 {
				ours, theirs = made(rt, seed+1, true), made(rt, seed+1, true)
			}
			if ok, difference, err := r.check(stream, ours, theirs); !ok || err != nil || difference != "" {
				t.Fatalf("%v, seed %d: ok %v, %v, %s", rt, seed, ok, err, difference)
			}
			if !r.own.Skip(lastValue(stream)) {
				t.Fatalf("%v, seed %d: not skipped", rt, seed)
			}
		}
	}
}

func lastValue(stream []byte) []byte {
	m := LastMessage(stream)
	_, n := ReadUint(m)
	return m[n:]
}

func TestOtherVersionsOfATypeAreReadAsGobReadsThem(t *testing.T) {
	type (
		none     struct{ Nothing int }
		refs     struct{ Seq **int16 }
		swapped  struct{ Data, Name *string }
		unsent   struct{ Seq chan int }
		promoted struct {
			hidden
			Embedded struct{ Seq int }
		}
		Promoted struct{ Seq int }
		through  struct{ Promoted }
		oneList  struct{ A, B []Inner }
		twoLists struct {
			A []Inner
			B []hidden2
		}
		lowercase struct{ seq int }
	)
	types := []reflect.Type{
		reflect.TypeFor[request](), reflect.TypeFor[wider](), reflect.TypeFor[narrower](), reflect.TypeFor[none](),
		reflect.TypeFor[refs](), reflect.TypeFor[swapped](), reflect.TypeFor[unsent](), reflect.TypeFor[promoted](),
		reflect.TypeFor[through](), reflect.TypeFor[oneList](), reflect.TypeFor[twoLists](), reflect.TypeOf(lowercase{seq: 1}),
		reflect.TypeFor[empty](), reflect.TypeFor[boxed](), reflect.TypeFor[timed](), reflect.TypeFor[recursive](),
		reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[[]int](), reflect.TypeFor[[]int16](), reflect.TypeFor[[2]int](), reflect.TypeFor[[3]int32](),
		reflect.TypeFor[map[string]int](), reflect.TypeFor[map[string]uint8](), reflect.TypeFor[map[word]*int64](),
		reflect.TypeFor[map[float64]int](), reflect.TypeFor[map[*int]int](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
		reflect.TypeFor[[]float32](), reflect.TypeFor[[]float64](), reflect.TypeFor[[9]float32](), reflect.TypeFor[[9]float64](), reflect.TypeFor[complex64](), reflect.TypeFor[complex128](),
	}
	var plans Plans
	read := map[[2]reflect.Type]int{}
	for _, sent := range types {
		if sent == reflect.TypeFor[boxed]() || sent == reflect.TypeFor[unsent]() || sent == reflect.TypeFor[lowercase]() {
			continue
		}
		for _, got := range types {
			for seed := range uint64(20) {
				p, r := newPen(&plans), newReader(&plans)
				v := made(sent, seed, false)
				stream, err := p.write(v.Interface())
				if err != nil {
					t.Fatalf("%v: %v", sent, err)
				}
				ours, theirs := made(got, seed, true), made(got, seed, true)
				if got == reflect.TypeFor[map[*int]int]() { // whose keys are never the same
					ours, theirs = reflect.New(got), reflect.New(got)
				}
				ok, difference, err := r.check(stream, ours, theirs)
				if difference != "" {
					t.Fatalf("%v to %v, seed %d: ok %v, %v, %s", sent, got, seed, ok, err, difference)
				}
				if ok {
					read[[2]reflect.Type{sent, got}]++
				}
			}
		}
	}
	for _, pair := range [][2]reflect.Type{
		{types[0], types[1]},
		{types[1], types[0]}, // skips a time, among others
		{types[0], types[2]},
		{types[2], types[0]},
		{types[0], types[4]},
		{types[1], types[12]},
		{reflect.TypeFor[timed](), reflect.TypeFor[recursive]()},
		{reflect.TypeFor[map[string]int](), reflect.TypeFor[map[word]*int64]()},
	} {
		if read[pair] == 0 {
			t.Errorf("%v to %v is never done here", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]reflect.Type{
		{reflect.TypeFor[twoLists](), reflect.TypeFor[oneList]()}, // encoding/gob reads B as if it were A
		{reflect.TypeFor[map[*int]int](), reflect.TypeFor[map[*int]int]()},
		{reflect.TypeFor[map[float64]int](), reflect.TypeFor[map[float64]int]()},
	} {
		if read[pair] > 0 {
			t.Errorf("%v to %v is done here", pair[0], pair[1])
		}
	}
}

func TestCutOrLongMessagesAreLeftToGob(t *testing.T) {
	var plans Plans
	for _, rt := range done {
		for seed := range uint64(3) {
			stream := encoded(t, made(rt, seed, false).Interface())
			value := lastValue(stream)
			definitions := stream[:len(stream)-len(LastMessage(stream))]
			step := 1 + len(value)/200
			for cut := 0; cut < len(value); cut += step {
				r := newReader(&plans)
				broken := append(bytes.Clone(definitions), withLength(value[:cut])...)
				// encoding/gob takes a struct without its end.
				if ok, difference, err := r.check(broken, reflect.New(rt), reflect.New(rt)); ok || difference != "" {
					t.Fatalf("%v, seed %d, %d of %d bytes: ok %v, %v, %s", rt, seed, cut, len(value), ok, err, difference)
				}
				if r.own.Skip(value[:cut]) {
					t.Fatalf("%v, seed %d, %d of %d bytes are skipped", rt, seed, cut, len(value))
				}
			}
			r := newReader(&plans)
			long := append(bytes.Clone(definitions), withLength(append(bytes.Clone(value), 0))...)
			if ok, difference, err := r.check(long, reflect.New(rt), reflect.New(rt)); ok || difference != "" {
				t.Fatalf("%v, seed %d, a byte more: ok %v, %v, %s", rt, seed, ok, err, difference)
			}
		}
	}
}

func TestDamagedMessagesAreReadAsGobReadsThem(t *testing.T) {
	var plans Plans
	for _, rt := range done {
		if plans.of(rt).maps {
			continue // encoding/gob makes them as large as the damage says
		}
		all := split(encoded(t, made(rt, 7, false).Interface()))
		for i, m := range all {
			step := 1 + len(m)/100
			for at := 0; at < len(m); at += step {
				for _, b := range []byte{0, 1, 127, 128, 248, 255, m[at] + 1, m[at] - 1} {
					damaged := bytes.Clone(m)
					damaged[at] = b
					var stream []byte
					for k, m := range all {
						if k == i {
							m = damaged
						}
						stream = append(stream, withLength(m)...)
					}
					ok, difference, err := newReader(&plans).check(stream, reflect.New(rt), reflect.New(rt))
					if difference != "" {
						t.Fatalf("%v, message %d, byte %d is %d: ok %v, %v, %s", rt, i, at, b, ok, err, difference)
					}
				}
			}
		}
	}
}

func TestDecodeTakesPointersOnly(t *testing.T) {
	stream := encoded(t, request{Seq: 1})
	var plans Plans
	d := NewDecoder(&plans)
	d.Define(split(stream)[0])
	var nilPtr *request
	for _, v := range []any{nil, request{}, nilPtr, 1, "x", []int{1}} {
		if d.Decode(lastValue(stream), v) {
			t.Errorf("decoded into %#v", v)
		}
	}
	var got request
	if !d.Decode(lastValue(stream), &got) || got.Seq != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestCountsAreNotBelieved: a message that claims more than it holds allocates no more
// than what it holds.
func TestCountsAreNotBelieved(t *testing.T) {
	type large struct {
		A [100]int
		B int
	}
	type rare struct {
		Fixed *[1 << 20]int
		Large []large
		Deep  [][][]large
		Map   map[int]large
		Texts []string
		Bytes []byte
		Bools []bool
		Self  []small
		Ptrs  []*[1000]int
	}
	stream := encoded(t, rare{Fixed: new([1 << 20]int)})
	all := split(stream)
	_, n := ReadUint(all[len(all)-1])
	id := all[len(all)-1][:n]
	var plans Plans
	d := NewDecoder(&plans)
	for _, m := range all[:len(all)-1] {
		d.Define(m)
	}
	for field := 1; field <= reflect.TypeFor[rare]().NumField(); field++ {
		for _, size := range []int{10, 1000, 100000} {
			for _, count := range []uint64{1, uint64(size) - 20, uint64(size), 1 << 20, 1 << 40, 1<<64 - 1} {
				message := AppendUint(append(bytes.Clone(id), byte(field)), count)
				for len(message) < size { // counts within counts, and large numbers of zero elements
					message = AppendUint(message, uint64(size-len(message)-8))
				}
				var before, after runtime.MemStats
				var v rare
				d.Decode(message, &v)
				v = rare{}
				runtime.ReadMemStats(&before)
				ok := d.Decode(message, &v)
				runtime.ReadMemStats(&after)
				if used := after.TotalAlloc - before.TotalAlloc; used > uint64(1<<20+300*len(message)) {
					t.Errorf("field %d, %d bytes, count %d: ok %v, %d bytes allocated", field, size, count, ok, used)
				}
			}
		}
	}
}

func TestDecodedValuesShareNothingWithTheMessage(t *testing.T) {
	var plans Plans
	want := lists{Strings: []string{"abc"}, Blobs: [][]byte{[]byte("def")}, Maps: []map[string]int{{"ghi": 1}}}
	stream := encoded(t, want)
	d := NewDecoder(&plans)
	all := split(stream)
	for _, m := range all[:len(all)-1] {
		d.Define(m)
		clear(m)
	}
	message := all[len(all)-1]
	var got lists
	if !d.Decode(message, &got) {
		t.Fatal("not decoded")
	}
	clear(message)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestDecodeAllocatesTheValueAlone(t *testing.T) {
	for _, test := range []struct {
		v     any
		fresh float64
	}{
		{&request{Seq: 1 << 30, Data: make([]byte, 1000)}, 1},
		{&request{Seq: 1, Data: make([]byte, 100), Name: strings.Repeat("n", 20)}, 2},
		{&lists{Ints: []int{1, 2, 300}, Inners: []Inner{{X: 1}, {Y: 2}}}, 2},
		{&lists{Nested: [][][]string{{{"ab"}}}}, 4},
		{&embeds{Inner: Inner{X: 1, Y: 2}, Outer: &Outer{Inner: &Inner{}}}, 2},
	} {
		stream := encoded(t, test.v)
		var plans Plans
		d := NewDecoder(&plans)
		all := split(stream)
		for _, m := range all[:len(all)-1] {
			d.Define(m)
		}
		v := reflect.New(reflect.TypeOf(test.v).Elem())
		message := lastValue(stream)
		n := testing.AllocsPerRun(100, func() {
			v.Elem().SetZero()
			if !d.decode(message, v, nil) {
				t.Fatal("not decoded")
			}
		})
		if n != test.fresh {
			t.Errorf("%T: %v allocations, want %v", test.v, n, test.fresh)
		}
	}
	var plans Plans
	stream := encoded(t, request{Seq: 1, Data: make([]byte, 100)})
	d := NewDecoder(&plans)
	d.Define(split(stream)[0])
	v := request{Data: make([]byte, 100)}
	if n := testing.AllocsPerRun(100, func() { d.Decode(lastValue(stream), &v) }); n > 0 {
		t.Errorf("%v allocations where there is room", n)
	}
}
