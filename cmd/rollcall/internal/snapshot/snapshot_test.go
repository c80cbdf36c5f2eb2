package snapshot

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// made is a snapshot with these lines of content.
func made(lines ...string) string {
	text := fmt.Sprintf(`{"format":"rollcall-snapshot-1","zone":"svc.","revision":7,"instances":%d,"fences":0}`+"\n", len(lines))
	for _, line := range lines {
		text += line + "\n"
	}
	return text + fmt.Sprintf(`{"sha256":"%x"}`+"\n", sha256.Sum256([]byte(text)))
}

func TestCheckFindsWhatIsMissingOrChanged(t *testing.T) {
	good := made(`{"instance":{"id":"a1"}}`, `{"fence":{"id":"a2"}}`)
	if head, err := Check(strings.NewReader(good)); err != nil || head.Instances != 2 || head.Zone != "svc." {
		t.Fatalf("%+v, %v", head, err)
	}
	for name, tt := range map[string]struct{ text, says string }{
		"nothing":         {"", "incomplete"},
		"another file":    {"root:x:0:0\n", "no snapshot of Rollcall"},
		"a later format":  {strings.Replace(good, "snapshot-1", "snapshot-2", 1), "no snapshot of Rollcall"},
		"a changed octet": {strings.Replace(good, `"a1"`, `"a3"`, 1), "it was changed"},
		"another head":    {strings.Replace(good, `"revision":7`, `"revision":8`, 1), "it was changed"},
		"a line too many": {good + "\n", "follows after its end"},
		"a long line":     {made(strings.Repeat("x", longest)), "too long"},
		"no JSON":         {made("x"), "line 2 is no JSON"},
		"another count":   {strings.Replace(made(), `"instances":0`, `"instances":1`, 1), "it was changed"},
	} {
		if _, err := Check(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
	lines := strings.SplitAfter(good, "\n")
	for i := range len(lines) - 2 {
		if _, err := Check(strings.NewReader(strings.Join(lines[:i+1], ""))); err == nil {
			t.Errorf("%d of the lines are called whole", i+1)
		}
	}
}

// Parts has every line once, in order, in bodies that are not too large.
func TestPartsAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		for i := range rapid.IntRange(0, 30).Draw(t, "lines") {
			lines = append(lines, fmt.Sprintf(`{"instance":{"id":"a%d","meta":%q}}`, i, strings.Repeat("x", rapid.IntRange(0, 100).Draw(t, "meta"))))
		}
		const size = 200
		var got []string
		for body, err := range Parts(strings.NewReader(made(lines...)), size, false) {
			if err != nil {
				t.Fatal(err)
			}
			var part struct {
				Lines []json.RawMessage `json:"lines"`
			}
			if err := json.Unmarshal(body, &part); err != nil || len(part.Lines) == 0 || len(body) > size {
				t.Fatalf("%d octets with %d lines: %v", len(body), len(part.Lines), err)
			}
			for _, line := range part.Lines {
				got = append(got, string(line))
			}
		}
		if strings.Join(got, "\n") != strings.Join(lines, "\n") {
			t.Fatalf("got %q, want %q", got, lines)
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add(made(`{"instance":{"id":"a1"}}`))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Check(strings.NewReader(text)); err != nil {
			return
		}
		for _, err := range Parts(strings.NewReader(text), longest, true) {
			if err != nil {
				t.Errorf("good by Check, and %v", err)
			}
		}
	})
}
