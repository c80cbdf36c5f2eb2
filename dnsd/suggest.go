package dnsd

import (
	"fmt"
	"slices"
	"strings"
)

// suggest names the word that was probably meant, or else all words.
func suggest(word string, words []string) string {
	if near, ok := nearest(word, words); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(words) == 1 {
		return "expected " + words[0]
	}
	return "expected one of " + strings.Join(words, ", ")
}

// nearest is the one of words that differs least from word; ok: by little.
func nearest(word string, words []string) (near string, ok bool) {
	word = strings.ToLower(word)
	near = slices.MinFunc(words, func(a, b string) int { return distance(word, a) - distance(word, b) })
	d := distance(word, near)
	return near, d <= 2 && 2*d < len(word)
}

// distance is the edit distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost = 1 + min(prev, row[j], row[j+1])
			}
			prev, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Tests: corefile_test.go.
