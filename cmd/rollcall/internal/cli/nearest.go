package cli

import (
	"slices"
	"strings"
)

// suggest names the word that was probably meant, or else all words.
func suggest(word string, words []string) string {
	if near, ok := nearest(word, words); ok {
		return "did you mean " + near + "?"
	}
	return "expected one of " + strings.Join(words, ", ")
}

// nearest is the one of words that differs least from word; ok: by little.
func nearest(word string, words []string) (near string, ok bool) {
	if len(words) == 0 || len(word) < 2 || len(word) > longest {
		return "", false
	}
	word = strings.ToLower(word)
	near = slices.MinFunc(words, func(a, b string) int { return distance(word, a) - distance(word, b) })
	if d := distance(word, near); d <= 2 && 2*d < len(word) {
		return near, true
	}
	// A word that was cut short, or has an ending, is far away by distance.
	for _, w := range words {
		if strings.HasPrefix(w, word) || strings.HasPrefix(word, w) {
			return w, true
		}
	}
	return "", false
}

// longest is the longest word that is compared letter by letter: all names are shorter.
const longest = 30

// distance is the edit distance of two short words, where two neighbours that changed
// places are one edit.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := row[j]
			if a[i] != b[j] {
				cost = 1 + min(row[j], row[j+1], next[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			next[j+1] = cost
		}
		before, row = row, next
	}
	return row[len(b)]
}
