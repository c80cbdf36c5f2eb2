package cli

import (
	"strings"
	"testing"
)

func TestTheNearestWordIsSuggested(t *testing.T) {
	words := []string{"ls", "get", "watch", "drain", "undrain", "rm", "register"}
	for word, want := range map[string]string{
		"wtach":                   "did you mean watch?",
		"DRAIN":                   "did you mean drain?",
		"undrian":                 "did you mean undrain?",
		"reg":                     "did you mean register?",
		"registers":               "did you mean register?",
		"xyz":                     "expected one of ls, get, watch, drain, undrain, rm, register",
		"":                        "expected one of ls, get, watch, drain, undrain, rm, register",
		strings.Repeat("x", 5000): "expected one of ls, get, watch, drain, undrain, rm, register",
	} {
		if got := suggest(word, words); got != want {
			t.Errorf("suggest(%q) is %q, want %q", word, got, want)
		}
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
