package gobvalue

import (
	"encoding/gob"
	"testing"
)

type tagged struct {
	Text string
	Next *tagged
}

// TestInterfaceValuesAreSkippedExactly, also nil ones, after which encoding/gob takes the
// next message for a part of the value. Those that bring the definition of their type are
// not skipped.
func TestInterfaceValuesAreSkippedExactly(t *testing.T) {
	gob.Register(tagged{})
	var plans Plans
	for _, tt := range []struct {
		name   string
		before any // on the same stream
		v      any
		skip   bool
	}{
		{"nil in a slice", nil, []any{nil}, true},
		{"nil at the end", nil, []any{1, "s", nil}, true},
		{"nil in a map", nil, map[string]any{"x": nil, "y": 2.5}, true},
		{"in a struct", nil, struct{ A, B any }{A: 1, B: []byte("x")}, true},
		{"the first of its type", nil, []any{nil, tagged{Text: "a"}, nil}, false},
		{"the second of its type", []any{tagged{}}, []any{nil, tagged{Text: "b"}, nil}, true},
		{"recursive", nil, tagged{Text: "c"}, false},
	} {
		p, d := newPen(&plans), NewDecoder(&plans)
		var stream []byte
		if tt.before != nil {
			first, err := p.write(tt.before)
			if err != nil {
				t.Fatal(err)
			}
			stream = first
		}
		value, err := p.write(tt.v)
		if err != nil {
			t.Fatal(err)
		}
		all := split(append(stream, value...))
		for _, m := range all[:len(all)-1] {
			if id, _ := ReadUint(m); id&1 != 0 {
				d.Define(m)
			}
		}
		if ok := d.Skip(split(value)[len(split(value))-1]); ok != tt.skip {
			t.Errorf("%s: skipped %v, want %v", tt.name, ok, tt.skip)
		}
	}
}
