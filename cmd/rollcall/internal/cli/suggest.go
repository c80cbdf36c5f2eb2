package cli

import (
	"strings"

	"github.com/rollcall-dns/rollcall/internal/nearest"
)

// suggest names the word that was probably meant, or else all words.
func suggest(word string, words []string) string {
	if near, ok := nearest.Word(word, words); ok {
		return "did you mean " + near + "?"
	}
	return "expected one of " + strings.Join(words, ", ")
}
