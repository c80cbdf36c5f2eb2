package gobvalue

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// pen writes values with encoding/gob and with an Encoder beside it.
type pen struct {
	b   bytes.Buffer
	gob *gob.Encoder
	own *Encoder
}

func newPen(plans *Plans) *pen {
	p := &pen{own: NewEncoder(plans)}
	p.gob = gob.NewEncoder(&p.b)
	return p
}

// write gives what encoding/gob writes for v.
func (p *pen) write(v any) (stream []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	p.b.Reset()
	err = p.gob.Encode(v)
	return bytes.Clone(p.b.Bytes()), err
}

// compare reports how Append differs from encoding/gob at v.
func (p *pen) compare(v any) (known bool, difference string) {
	const before = "what is there"
	got, ok := p.own.Append([]byte(before), v)
	want, err := p.write(v)
	switch {
	case !ok && string(got) != before:
		return false, "Append failed, and changed the buffer"
	case ok && err != nil:
		return true, fmt.Sprintf("Append wrote %x, encoding/gob: %v", got, err)
	case !ok:
		if err == nil {
			p.own.Wrote(v, want)
		}
		return false, ""
	}
	got = got[len(before):]
	switch {
	case len(got) != len(want):
		return true, fmt.Sprintf("%d bytes, not %d:\n%.200x\n%.200x", len(got), len(want), got, want)
	case !p.own.plans.of(reflect.TypeOf(v)).maps && string(got) != string(want):
		return true, fmt.Sprintf("other bytes:\n%.200x\n%.200x", got, want)
	}
	return true, ""
}

func TestValuesAreWrittenAsGobWritesThem(t *testing.T) {
	var plans Plans
	p := newPen(&plans)
	for _, rt := range done {
		for seed := range uint64(50) {
			v := made(rt, seed, false)
			for _, v := range []any{v.Interface(), v.Elem().Interface()} {
				known, difference := p.compare(v)
				if difference != "" {
					t.Fatalf("%T, seed %d: %s", v, seed, difference)
				}
				if !known && seed > 0 {
					t.Errorf("%T, seed %d: left to encoding/gob", v, seed)
				}
			}
		}
		if known, difference := p.compare(reflect.Zero(rt).Interface()); known == (rt.Kind() == reflect.Pointer) || difference != "" {
			t.Errorf("zero %v: written by Append: %v %s", rt, known, difference)
		}
	}
}

func TestMapsAreWrittenWhole(t *testing.T) {
	var plans Plans
	for seed := range uint64(100) {
		p := newPen(&plans)
		v := made(reflect.TypeFor[maps](), seed, false).Interface()
		theirs, err := p.write(v)
		if err != nil {
			t.Fatal(err)
		}
		p.own.Wrote(v, theirs)
		ours, ok := p.own.Append(bytes.Clone(theirs[:len(theirs)-len(LastMessage(theirs))]), v)
		if !ok {
			t.Fatalf("seed %d: not written by Append", seed)
		}
		var got, want maps
		if err := gob.NewDecoder(bytes.NewReader(ours)).Decode(&got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := gob.NewDecoder(bytes.NewReader(theirs)).Decode(&want); err != nil {
			t.Fatal(err)
		}
		if s := differs(reflect.ValueOf(got), reflect.ValueOf(want)); s != "" {
			t.Fatalf("seed %d: got%s", seed, s)
		}
	}
}

func TestWhatIsNotPlannedIsLeftToGob(t *testing.T) {
	var plans Plans
	p := newPen(&plans)
	for _, rt := range undone {
		if rt == reflect.TypeFor[selfPtr]() {
			continue // encoding/gob does not come to an end
		}
		v := made(rt, 1, false)
		for range 3 {
			if known, difference := p.compare(v.Interface()); known || difference != "" {
				t.Errorf("%v: written by Append: %v %s", rt, known, difference)
			}
		}
	}
	var nilPtr *request
	one := 1
	values := []any{
		&request{}, nilPtr, nil,
		[]*int{&one},
		[]*int{nil},
		[1]*int{&one},
		[1]*int{},
		map[string]*int{"a": &one},
		map[string]*int{"a": nil},
		map[*int]int{&one: 1},
		map[*int]int{nil: 1},
	}
	wants := []bool{false, false, false, false, false, false, false, false, false, false, false}
	for i, v := range values {
		if known, difference := p.compare(v); known != wants[i] || difference != "" {
			t.Errorf("%#v: written by Append: %v %s", v, known, difference)
		}
	}
	// A value that failed does no harm to the values after it.
	for _, i := range []int{0, 3, 5, 7, 9} {
		if known, difference := p.compare(values[i]); !known || difference != "" {
			t.Errorf("%#v: written by Append: %v %s", values[i], known, difference)
		}
	}
}

func TestLengthsOfAnySizeAreWritten(t *testing.T) {
	var plans Plans
	p := newPen(&plans)
	p.compare(request{Seq: 1})
	for _, n := range []int{0, 100, 110, 120, 121, 122, 123, 130, 0, 240, 250, 251, 252, 260, 65500, 65530, 65540, 1 << 20, 1 << 24, 1, 255, 0} {
		if known, difference := p.compare(request{Data: make([]byte, n)}); !known || difference != "" {
			t.Errorf("%d bytes: written by Append: %v %s", n, known, difference)
		}
	}
}

func TestStreamsShareTheirPlans(t *testing.T) {
	var plans Plans
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			p := newPen(&plans)
			for seed := range uint64(5) {
				for _, rt := range done {
					v := made(rt, seed, false).Interface()
					if _, difference := p.compare(v); difference != "" {
						t.Errorf("%T, seed %d: %s", v, seed, difference)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestWroteTakesNoOddMessages(t *testing.T) {
	var plans Plans
	stream := encoded(t, request{Seq: 1, Name: "x"})
	value := LastMessage(stream)
	definition := stream[:len(stream)-len(value)]
	for name, stream := range map[string][]byte{
		"nothing": nil, "a part": value[:3], "a definition": definition, "another value": encoded(t, request{Seq: 2}), "empty": {0},
	} {
		e := NewEncoder(&plans)
		e.Wrote(request{Seq: 1, Name: "x"}, stream)
		if b, ok := e.Append(nil, request{Seq: 1}); ok {
			t.Errorf("%s is taken for a value: then %x", name, b)
		}
	}
	e := NewEncoder(&plans)
	e.Wrote(request{Seq: 1, Name: "x"}, stream)
	if b, ok := e.Append(nil, request{Seq: 1, Name: "x"}); !ok || !bytes.Equal(b, value) {
		t.Errorf("%x %v, want %x", b, ok, value)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	one := 5
	for _, v := range []any{
		&request{Seq: 1 << 30, Data: make([]byte, 1000), Name: strings.Repeat("n", 20)},
		request{Seq: 1, Data: make([]byte, 100)},
		&lists{Ints: []int{1, 2, 300}, Strings: []string{"a", "b"}, Inners: []Inner{{X: 1}}, Blobs: [][]byte{{1}}},
		map[string]string{"a": "b", "c": "d"},
		&arrays{Pair: [2]Inner{{X: 1}}},
		[]*int{&one, &one},
	} {
		p := newPen(new(Plans))
		p.compare(v)
		b, ok := p.own.Append(nil, v)
		if !ok {
			t.Fatalf("%T is not known", v)
		}
		if n := testing.AllocsPerRun(100, func() { b, _ = p.own.Append(b[:0], v) }); n > 0 {
			t.Errorf("%T: %v allocations", v, n)
		}
	}
}

func TestPlansSayWhatIsDone(t *testing.T) {
	var plans Plans
	for _, rt := range done {
		if !plans.of(rt).can || !plans.of(reflect.PointerTo(rt)).can {
			t.Errorf("%v is not done", rt)
		}
	}
	for _, rt := range undone {
		if plans.of(rt).can || plans.of(reflect.PointerTo(rt)).can || plans.of(reflect.SliceOf(rt)).can {
			t.Errorf("%v is done", rt)
		}
	}
	if plans.of(reflect.TypeFor[struct{ P selfPtr }]()).can {
		t.Error("a pointer to itself is done")
	}
}
