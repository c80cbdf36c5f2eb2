// Package nearest finds the word that was probably meant, for the errors of command lines, of
// the Corefile and of the HTTP API.
package nearest

import (
	"slices"
	"strings"
)

// longest is the longest word that is compared letter by letter: all names are shorter.
const longest = 30

// Word is the one of words that was probably meant: it differs by little from word, or one
// of the two begins with the other. ok is false if there is none.
func Word(word string, words []string) (near string, ok bool) {
	if near, ok := Typo(word, words); ok {
		return near, true
	}
	if len(word) < 2 || len(word) > longest {
		return "", false
	}
	// A word that was cut short, or has an ending, is far away by distance.
	word = strings.ToLower(word)
	for _, w := range words {
		if strings.HasPrefix(w, word) || strings.HasPrefix(word, w) {
			return w, true
		}
	}
	return "", false
}

// Typo is the one of words that differs least from word. ok is false if that is by more than
// two letters, or by half of the word. It is for a place where a secret may have been
// written, because what comes after a known word may be a part of it.
func Typo(word string, words []string) (near string, ok bool) {
	if len(words) == 0 || len(word) < 2 || len(word) > longest {
		return "", false
	}
	word = strings.ToLower(word)
	near = slices.MinFunc(words, func(a, b string) int { return distance(word, a) - distance(word, b) })
	if d := distance(word, near); d > 2 || 2*d >= len(word) {
		return "", false
	}
	return near, true
}

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
