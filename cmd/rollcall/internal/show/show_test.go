package show

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestTextOfOthersIsHarmless(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"plain text, ä, 世", "plain text, ä, 世"},
		{"\x1b[2J", `\x1b[2J`},
		{"a\nb\tc\r", `a\nb\tc\r`},
		{"\u202egnp", `\u202egnp`},
		{"bad \xff", `bad \ufffd`},
		{"\u009b31m", `\u009b31m`},
	} {
		if got := Clean(tc.text); got != tc.want {
			t.Errorf("Clean(%q) is %q, want %q", tc.text, got, tc.want)
		}
	}
}

func TestLinesOfOthersAreHarmless(t *testing.T) {
	var b strings.Builder
	if n, err := fmt.Fprintf(Harmless(&b), "rollcall: %s\nsecond\n", "\x1b]0;x\a"); err != nil || n != len("rollcall: \x1b]0;x\a\nsecond\n") {
		t.Errorf("%d, %v", n, err)
	}
	if want := "rollcall: \\x1b]0;x\\a\nsecond\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestATableHasColumns(t *testing.T) {
	table := NewTable("ID", "ADDRESS", "STATE")
	table.Row("a1", "10.0.0.7:8080", "up")
	table.Row("longer", "", "\x1b[31m")
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "ID      ADDRESS        STATE\na1      10.0.0.7:8080  up\nlonger  -              \\x1b[31m\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestJSONKeepsItsCharacters(t *testing.T) {
	var b strings.Builder
	if err := JSON(&b, map[string]string{"a": "<&>"}); err != nil {
		t.Fatal(err)
	}
	if err := Line(&b, []int{1}); err != nil {
		t.Fatal(err)
	}
	if err := Line(&b, json.RawMessage("[\"\u009b31m ä \U000e0001 \x7f \xff\"]")); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"<&>\"\n}\n[1]\n" + `["\u009b31m ä \udb40\udc01 \u007f \ufffd"]` + "\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
