package gobvalue

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// reader reads one stream with a Decoder and with encoding/gob, which is once alone
// and once does what the Decoder leaves to it.
type reader struct {
	own          *Decoder
	take         bool // by Take
	after, alone gobReader
}

func newReader(plans *Plans) *reader {
	r := &reader{own: NewDecoder(plans)}
	r.alone.Decoder = gob.NewDecoder(&r.alone.in)
	r.after.Decoder = gob.NewDecoder(&r.after.in)
	return r
}

type gobReader struct {
	in bytes.Buffer
	*gob.Decoder
}

// read decodes the stream's next value.
func (r *gobReader) read(stream []byte, v reflect.Value) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	r.in.Reset()
	r.in.Write(stream)
	return r.DecodeValue(v)
}

func withLength(message []byte) []byte {
	return append(AppendUint(nil, uint64(len(message))), message...)
}

// check decodes the value that stream ends with into two alike targets, and reports
// how they come to differ. ok says what Decode said.
func (r *reader) check(stream []byte, ours, theirs reflect.Value) (ok bool, difference string, err error) {
	all := split(stream)
	for _, m := range all[:len(all)-1] {
		r.own.Define(m)
	}
	message := bytes.Clone(all[len(all)-1])
	kept := false
	if r.take {
		ok, kept = r.own.Take(message, ours.Interface(), true)
	} else {
		ok = r.own.decode(message, ours, nil)
	}
	err = r.alone.read(stream, theirs)
	if ok {
		if err != nil {
			return ok, fmt.Sprintf("encoding/gob says %v", err), err
		}
		_ = r.after.read(stream, reflect.New(ours.Type())) // for the definitions
	} else if after := r.after.read(stream, ours); fmt.Sprint(after) != fmt.Sprint(err) {
		return ok, fmt.Sprintf("encoding/gob says %v, and %v alone", after, err), err
	}
	if !kept {
		for i := range message { // nothing is a part of it
			message[i] ^= 0xff
		}
	}
	return ok, differs(ours, theirs), err
}

// split is messages for a stream that may be none.
func split(stream []byte) (out [][]byte) {
	for len(stream) > 0 {
		n, k := ReadUint(stream)
		if k == 0 || n > uint64(len(stream)-k) {
			return append(out, nil)
		}
		out = append(out, stream[k:k+int(n)])
		stream = stream[k+int(n):]
	}
	return out
}

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

// TestCountsAreNotBelieved: what a message claims allocates no more than what it
// holds.
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

func TestRecursiveDefinitionsAreLeftToGob(t *testing.T) {
	// []T with T its own element, and a struct that holds it, sent for a type that
	// has none of it: it would be skipped.
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
