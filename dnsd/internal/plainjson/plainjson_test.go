package plainjson

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTextsAreThoseOfEncodingJSON: both write the same, and what is read is what
// encoding/json reads.
func TestTextsAreThoseOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := AppendText(nil, s)
		if string(got) != string(want) {
			t.Fatalf("%q is written as %s, want %s", s, got, want)
		}
		r := NewReader(got)
		if text := r.Text(); r.Whole() && text != s {
			t.Fatalf("%s is read as %q, want %q", got, text, s)
		}
	})
}

// FuzzReader: what is read as plain has the same meaning for encoding/json.
func FuzzReader(f *testing.F) {
	for _, s := range []string{`"a"`, `"a\n"`, `7`, `07`, `70000`, `18446744073709551616`, `"15s"`, `"-1s"`, `"2006-01-02T15:04:05.5Z"`, `"2006-01-02T15:04:05+25:00"`, ``, `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(r *Reader, got any, want any) {
			t.Helper()
			if !r.Whole() {
				return
			}
			if err := json.Unmarshal(b, want); err != nil {
				t.Fatalf("%q is read as %v; encoding/json: %v", b, got, err)
			}
		}
		r := NewReader(b)
		text, wantText := r.Text(), ""
		if same(&r, text, &wantText); r.Whole() && text != wantText {
			t.Errorf("%q is %q, want %q", b, text, wantText)
		}
		r = NewReader(b)
		n, wantN := r.Uint(16), uint16(0)
		if same(&r, n, &wantN); r.Whole() && n != uint64(wantN) {
			t.Errorf("%q is %d, want %d", b, n, wantN)
		}
		r = NewReader(b)
		at, wantAt := r.Time(), time.Time{}
		if same(&r, at, &wantAt); r.Whole() && !at.Equal(wantAt) {
			t.Errorf("%q is %v, want %v", b, at, wantAt)
		}
	})
}

func TestWhatIsNotPlainFails(t *testing.T) {
	for what, read := range map[string]func(*Reader){
		`x`:      func(r *Reader) { r.Must("y") },
		`"a`:     func(r *Reader) { r.Text() },
		`"\u00"`: func(r *Reader) { r.Text() },
		`-1`:     func(r *Reader) { r.Uint(16) },
		`65536`:  func(r *Reader) { r.Uint(16) },
		`"15"`:   func(r *Reader) { r.Duration() },
		`"2006"`: func(r *Reader) { r.Time() },
	} {
		r := NewReader([]byte(what))
		if read(&r); !r.Failed() || r.Whole() {
			t.Errorf("%s was read", what)
		}
	}
	r := NewReader([]byte(`{"a":15,"b":"15s"}`))
	r.Must(`{"a":`)
	if n := r.Uint(16); n != 15 || r.Is("}") {
		t.Errorf("read %d, and then the end", n)
	}
	r.Must(`,"b":`)
	if d := r.Duration(); d != 15*time.Second || string(r.Rest()) != "}" || r.Whole() {
		t.Errorf("read %v, and %q is left", d, r.Rest())
	}
	if r.Must("}"); !r.Whole() {
		t.Error("the end was not read")
	}
}
