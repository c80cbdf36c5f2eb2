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
)

// guarded reads a stream as the two ends of a connection do: every message passes a
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

// read decodes the next value into v, or skips it if v is nil. left is the rest of the
// stream, which the Guard did not take for a part of the value.
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

// TestDecoderUnderAGuardLeavesLargeValuesToIt: no count is wrong, but elements that are
// small on the wire are large here.
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
		d, g := NewDecoder(&plans), NewGuard(&plans, uint64(most))
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

// TestStructsAreKnownByTheirFields: names, types and order, wherever the id of a []string is.
func TestStructsAreKnownByTheirFields(t *testing.T) {
	type Long struct {
		N uint
		L []string
		B bool
	}
	type Other struct {
		N uint
		L [][]byte
		B bool
	}
	fields := []Field{{"N", Uint}, {"L", Strings}, {"B", Bool}}
	for _, tt := range []struct {
		v    any
		want bool
	}{{Long{L: []string{"x"}}, true}, {Other{L: [][]byte{{1}}}, false}, {struct{ N uint }{1}, false}, {[]string{"x"}, false}} {
		var b bytes.Buffer
		gob.NewEncoder(&b).Encode(tt.v)
		g := NewGuard(new(Plans), 1<<20)
		var id uint64
		for _, m := range wholeMessages(b.Bytes()) {
			if isDefinition(m) {
				if err := g.Define(m); err != nil {
					t.Fatal(err)
				}
			} else {
				id, _ = ReadUint(m)
			}
		}
		if got := g.Struct(ToInt(id), fields...); got != tt.want {
			t.Errorf("%T: %v", tt.v, got)
		}
	}
}
