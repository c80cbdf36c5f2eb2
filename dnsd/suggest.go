package dnsd

import (
	"fmt"
	"strings"

	"github.com/rollcall-dns/rollcall/internal/nearest"
)

// suggest names the word that was probably meant, or else all words.
func suggest(word string, words []string) string {
	if near, ok := nearest.Word(word, words); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(words) == 1 {
		return "expected " + words[0]
	}
	return "expected one of " + strings.Join(words, ", ")
}

// Tests: corefile_test.go.
