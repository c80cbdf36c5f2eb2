package gobvalue

import (
	"bytes"
	"reflect"
	"testing"
)

type letter struct {
	Subject string
	Pages   struct{ First, Second []byte }
}

// TestTakeKeepsBytesThatAreMostOfTheMessage, if they are at its top level, and copies
// everything else: a few bytes must not hold a large buffer.
func TestTakeKeepsBytesThatAreMostOfTheMessage(t *testing.T) {
	var large, small letter
	large.Subject, large.Pages.First, large.Pages.Second = "hello", []byte("first"), bytes.Repeat([]byte("x"), 500)
	small.Subject, small.Pages.First = string(large.Pages.Second), []byte("first")
	used := letter{}
	used.Pages.Second = make([]byte, 0, 500)
	for _, tt := range []struct {
		name     string
		sent, to any
		kept     bool
		bytes    func(v any) []byte
	}{
		{"alone", large.Pages.Second, new([]byte), true, func(v any) []byte { return *v.(*[]byte) }},
		{"in a struct", large, new(letter), true, func(v any) []byte { return v.(*letter).Pages.Second }},
		{"small", small, new(letter), false, func(v any) []byte { return v.(*letter).Pages.First }},
		{"where there is room", large, &used, false, func(v any) []byte { return v.(*letter).Pages.Second }},
		{"in a slice", [][]byte{large.Pages.Second}, new([][]byte), false, func(v any) []byte { return (*v.(*[][]byte))[0] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var plans Plans
			p, d := newPen(&plans), NewDecoder(&plans)
			stream, err := p.write(tt.sent)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range split(stream) {
				if id, _ := ReadUint(m); id&1 != 0 {
					d.Define(m)
				}
			}
			message := bytes.Clone(lastValue(stream))
			foreign := reflect.New(reflect.TypeOf(tt.to).Elem())
			if tt.to == any(&used) {
				foreign.Interface().(*letter).Pages.Second = make([]byte, 500)
			}
			if ok, keeps := d.Take(bytes.Clone(message), foreign.Interface(), false); !ok || keeps != tt.kept {
				t.Errorf("not ours to give away: ok %v, keeps %v", ok, keeps)
			}
			ok, kept := d.Take(message, tt.to, true)
			if !ok || kept != tt.kept || !reflect.DeepEqual(reflect.ValueOf(tt.to).Elem().Interface(), tt.sent) {
				t.Fatalf("ok %v, kept %v: %v", ok, kept, tt.to)
			}
			got := tt.bytes(tt.to)
			before := bytes.Clone(got)
			clear(message)
			if same := bytes.Equal(got, before); same == tt.kept {
				t.Errorf("a part of the message: %v, want %v", !same, tt.kept)
			}
			if tt.kept && cap(got) != len(got) {
				t.Errorf("%d bytes can grow to %d over the rest of the message", len(got), cap(got))
			}
		})
	}
}
