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
