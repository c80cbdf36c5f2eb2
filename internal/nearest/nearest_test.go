package nearest

import (
	"strings"
	"testing"
)

func TestTheNearestWordIsFound(t *testing.T) {
	words := []string{"ls", "get", "watch", "drain", "undrain", "rm", "register"}
	for word, want := range map[string]struct{ word, typo string }{
		"wtach":                   {"watch", "watch"},
		"DRAIN":                   {"drain", "drain"},
		"undrian":                 {"undrain", "undrain"},
		"reg":                     {"register", ""},
		"registers":               {"register", "register"},
		"registerS3cr3t":          {"register", ""},
		"xyz":                     {"", ""},
		"":                        {"", ""},
		"l":                       {"", ""},
		strings.Repeat("x", 5000): {"", ""},
	} {
		if got, ok := Word(word, words); got != want.word || ok != (want.word != "") {
			t.Errorf("Word(%.20q) is %q, %t; want %q", word, got, ok, want.word)
		}
		if got, ok := Typo(word, words); got != want.typo || ok != (want.typo != "") {
			t.Errorf("Typo(%.20q) is %q, %t; want %q", word, got, ok, want.typo)
		}
	}
	if got, ok := Word("ls", nil); ok {
		t.Errorf("of no words: %q", got)
	}
}

func TestDistanceCountsEdits(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
