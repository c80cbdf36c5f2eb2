package rpcclient

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type deepArg struct {
	N    int
	S    string
	B    []byte
	M    map[string][]int
	P    *Args
	PP   **int
	A    [2][]string
	T    time.Time
	hide int
}

// TestCopiesShareNothing: when the original changes, the copy is still encoded as the
// original was.
func TestCopiesShareNothing(t *testing.T) {
	c := &copies{gob: true}
	encoded := func(v any) string {
		var buf bytes.Buffer
		if err := gob.NewEncoder(&buf).Encode(v); err != nil {
			return err.Error()
		}
		return buf.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int().Draw(t, "n")
		pn := &n
		d := &deepArg{
			N: n, S: "s", B: rapid.SliceOf(rapid.Byte()).Draw(t, "b"),
			M: map[string][]int{"k": rapid.SliceOf(rapid.Int()).Draw(t, "m")}, P: &Args{1, 2}, PP: &pn,
			A: [2][]string{rapid.SliceOf(rapid.String()).Draw(t, "a"), nil}, T: time.Unix(1e9, 0), hide: 5,
		}
		in := []any{
			d, *d, d.B, d.M, &d.M, d.A, &d.PP, &Any{Inner{n}}, &Any{[]any{d.B}},
			[]any{n, "x", d.B},
			d.T, d.P, &d.B,
			n, "s",
			[1]int{n},
			&Panicky{Decode: true},
		}
		gob.Register([]any{})
		v := in[rapid.IntRange(0, len(in)-1).Draw(t, "which")]
		want := encoded(v)
		own, ok := c.of(v)
		if !ok {
			t.Fatalf("%T cannot be copied", v)
		}
		if reflect.TypeOf(own) != reflect.TypeOf(v) || encoded(own) != want {
			t.Fatalf("copy of %#v is %#v", v, own)
		}
		for i := range d.B {
			d.B[i]++
		}
		for i := range d.M["k"] {
			d.M["k"][i]++
		}
		for i := range d.A[0] {
			d.A[0][i] += "!"
		}
		d.M["new"], d.P.A, n = []int{1}, 99, n+1
		if encoded(own) != want {
			t.Fatalf("copy of a %T changes with the original", v)
		}
	})
	for _, v := range []any{make(chan int), func() {}, &Any{make(chan int)}, &struct{ V any }{nobodysType{}}, oneWay{}} {
		if _, ok := c.of(v); ok {
			t.Errorf("%T was copied", v)
		}
	}
	if _, ok := (&copies{}).of(&Any{1}); ok {
		t.Error("with a foreign codec, gob is no way to copy")
	}
}

type nobodysType struct{ N int }
