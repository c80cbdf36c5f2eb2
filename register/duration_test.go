package register

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDurationRefusesWhatIsNotTextWithAUnit(t *testing.T) {
	for _, in := range []string{`5`, `5.5`, `null`, `true`, `"5"`, `""`, `"5 s"`, `"five"`, `{}`, `["5s"]`} {
		d := Duration(7)
		err := json.Unmarshal([]byte(in), &d)
		if err == nil {
			t.Errorf("%s: accepted as %v", in, d)
			continue
		}
		if !strings.Contains(err.Error(), `"5s"`) {
			t.Errorf("%s: error %q does not show a good one", in, err)
		}
		if d != 7 {
			t.Errorf("%s: refused, but changed the value to %v", in, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{`"5s"`, `"1m30s"`, `"-1ns"`, `5`, `"`, `"5\u0073"`, `"9223372036854775807ns"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Duration
		if d.UnmarshalJSON(data) != nil {
			return
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back Duration
		if err := json.Unmarshal(out, &back); err != nil || back != d {
			t.Fatalf("%s -> %v -> %s -> %v, %v", data, d, out, back, err)
		}
	})
}
