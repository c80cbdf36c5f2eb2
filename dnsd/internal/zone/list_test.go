package zone

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type word struct {
	key   string
	value int
}

func (w word) sortKey() string { return w.key }

// TestListIsASortedMap holds a list against a map through random changes, and
// what it was before each change stays what it was.
func TestListIsASortedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := func(label string) string { return fmt.Sprintf("%04d", rapid.IntRange(0, 999).Draw(t, label)) }
		model := make(map[string]word)
		want := func() (ws []word) {
			for _, w := range model {
				ws = append(ws, w)
			}
			slices.SortFunc(ws, func(a, b word) int { return strings.Compare(a.key, b.key) })
			return ws
		}
		for range rapid.IntRange(0, 900).Draw(t, "n") {
			w := word{key: fmt.Sprintf("%04d", len(model)*7919%1000)}
			model[w.key] = w
		}
		l := listOf(want())
		for i := range rapid.IntRange(1, 20).Draw(t, "changes") {
			old, before := l, want()
			switch k := key("key"); rapid.IntRange(0, 3).Draw(t, "op") {
			case 0, 1:
				l = l.with(word{k, i + 1})
				model[k] = word{k, i + 1}
			case 2:
				l = l.without(k)
				delete(model, k)
			default: // a whole range goes, so that chunks grow thin
				for j := range 300 {
					k := fmt.Sprintf("%04d", j*3)
					l = l.without(k)
					delete(model, k)
				}
			}
			after := want()
			if got := slices.Collect(l.all()); !slices.Equal(got, after) || l.n != len(after) {
				t.Fatalf("list %v (%d), want %v", got, l.n, after)
			}
			for _, c := range l.chunks {
				if len(c) == 0 || len(c) > chunkSize {
					t.Fatalf("a chunk of %d", len(c))
				}
			}
			for place, w := range after {
				if got := l.at(place); got != w {
					t.Fatalf("at(%d) = %v, want %v", place, got, w)
				}
				if got, ok := l.find(w.key); !ok || got != w {
					t.Fatalf("find(%s) = %v %v", w.key, got, ok)
				}
			}
			if w, ok := l.find(key("other") + "x"); ok {
				t.Fatalf("found %v", w)
			}
			if got := slices.Collect(old.all()); !slices.Equal(got, before) {
				t.Fatalf("the list before the change is no longer what it was")
			}
			// changed is the symmetric difference.
			patched := make(map[string]word)
			for _, w := range before {
				patched[w.key] = w
			}
			for was, is := range changed(old, l) {
				if was == is || was != (word{}) && patched[was.key] != was {
					t.Fatalf("changed yields %v, %v", was, is)
				}
				delete(patched, was.key)
				if is != (word{}) {
					patched[is.key] = is
				}
			}
			if len(patched) != len(model) {
				t.Fatalf("changed leads to %d values, want %d", len(patched), len(model))
			}
			for k, w := range model {
				if patched[k] != w {
					t.Fatalf("changed leads to %v, want %v", patched[k], w)
				}
			}
		}
	})
}
