package gobtype

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"strings"
	"testing"
)

func TestTypesAreRead(t *testing.T) {
	for _, tc := range []struct{ text, want, err string }{
		{"int", "int64", ""},
		{"[]byte", "[]uint8", ""},
		{"struct{A, B int; C []string}", "struct { A int64; B int64; C []string }", ""},
		{"*struct{ A map[string][3]float32 }", "*struct { A map[string][3]float32 }", ""},
		{"time.Time", "time.Time", ""},
		{"struct{D time.Duration}", "struct { D int64 }", ""},
		{"map[int](bool)", "map[int64]bool", ""},
		{"", "", "write it as in Go, such as struct{A, B int}"},
		{"struct{", "", "write it as in Go"},
		{"Args", "", "Args is no type of the language; describe it by its fields"},
		{"main.Args", "", "a type of another package is not known here"},
		{"any", "", "carries the name of a type that only the program of the server has"},
		{"struct{A interface{}}", "", "carries the name of a type"},
		{"func()", "", "gob cannot send such a value"},
		{"chan int", "", "gob cannot send such a value"},
		{"struct{a int}", "", "field a: gob sends only fields that begin with a capital letter"},
		{"struct{A int; A string}", "", "field A is there twice"},
		{"struct{Args}", "", "write each field as NAME TYPE"},
		{"struct{A int `json:\"a\"`}", "", "without a tag"},
		{"struct{}", "", "gob cannot send a struct without fields"},
		{"map[bool]int", "", "the key of a map is a string or a whole number"},
		{"[1000000000]int", "", "a value has at most 1048576 octets"},
		{"[1000][1000][1000]int", "", "a value has at most"},
		{"[n]int", "", "the length of an array is a number"},
		{strings.Repeat("[]", 60) + "int", "", "nested more than 50 deep"},
		{strings.Repeat("x", 5000), "", "more than 4096 characters"},
	} {
		got, err := Parse(tc.text)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%.60q: error %v, want one with %q", tc.text, err, tc.err)
			}
			continue
		}
		if err != nil || got.String() != tc.want {
			t.Errorf("%q: got %v, %v, want %s", tc.text, got, err, tc.want)
		}
	}
}

// TestAProgramReadsWhatWasDescribed: the type of the program has another name, and other
// sizes of numbers.
func TestAProgramReadsWhatWasDescribed(t *testing.T) {
	type args struct {
		A, B  int
		Names []string
		Part  struct{ Share float64 }
	}
	text := []byte(`{"A":6,"B":-7,"Names":["x"],"Part":{"Share":0.5}}`)
	for name, description := range map[string]string{"described": "struct{A, B int16; Names []string; Part struct{Share float64}}", "guessed": ""} {
		typ, err := Guess(text)
		if description != "" {
			typ, err = Parse(description)
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := Value(typ, text)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(v); err != nil {
			t.Fatal(err)
		}
		var got args
		if err := gob.NewDecoder(&b).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.A != 6 || got.B != -7 || len(got.Names) != 1 || got.Part.Share != 0.5 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestAnArgumentThatDoesNotFitIsRefused(t *testing.T) {
	typ, err := Parse("struct{A int8}")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`{"A":1000}`, `{"B":1}`, `"x"`, `{`} {
		if _, err := Value(typ, []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "the argument does not fit the type: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("struct{A, B int; C map[string][]time.Time}")
	f.Add("[3]*struct{X [2]byte}")
	f.Fuzz(func(t *testing.T, text string) {
		typ, err := Parse(text)
		if err != nil {
			return
		}
		if typ.Size() > maxSize+64 {
			t.Errorf("%q has %d octets", text, typ.Size())
		}
		Value(typ, []byte(`{"A":[1]}`))
	})
}

// FuzzGuess: a value fits the type that is guessed for it, unless a number is too large or
// a field is there twice.
func FuzzGuess(f *testing.F) {
	f.Add([]byte(`{"A":6,"B":[1,2.5],"C":{"D":"x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		typ, err := Guess(text)
		if err != nil || !json.Valid(text) {
			return
		}
		if _, err := Value(typ, text); err != nil && !strings.Contains(err.Error(), "cannot unmarshal") {
			t.Errorf("%s as %s: %v", text, typ, err)
		}
	})
}
