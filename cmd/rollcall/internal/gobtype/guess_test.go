package gobtype

import (
	"strings"
	"testing"
)

func TestTypesAreGuessed(t *testing.T) {
	for _, tc := range []struct{ text, want, err string }{
		{`7`, "int64", ""},
		{`7.5`, "float64", ""},
		{`1e400`, "float64", ""},
		{`"x"`, "string", ""},
		{`[1, 2.5]`, "[]float64", ""},
		{`{"B":true,"A":[{"X":1},{"X":2}]}`, "struct { A []struct { X int64 }; B bool }", ""},
		{`null`, "", "null does not tell its type; describe the type of the argument with -arg"},
		{`[]`, "", "an empty array"},
		{`{}`, "", "an empty object"},
		{`[1,"x"]`, "", "several types"},
		{`{"a":1}`, "", `field "a": gob knows only fields that begin with a capital letter; if this is a map, describe the type of the argument with -arg, such as map[string]int`},
		{`{"A":null}`, "", "field A: null"},
		{strings.Repeat("[", 60) + "1" + strings.Repeat("]", 60), "", "nested more than 50 deep"},
	} {
		got, err := Guess([]byte(tc.text))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%.60s: error %v, want one with %q", tc.text, err, tc.err)
			}
			continue
		}
		if err != nil || got.String() != tc.want {
			t.Errorf("%s: got %v, %v, want %s", tc.text, got, err, tc.want)
		}
	}
}
