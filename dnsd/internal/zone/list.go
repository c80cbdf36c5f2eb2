package zone

import (
	"iter"
	"slices"
	"strings"
)

// chunkSize bounds a chunk of a list: a change copies one chunk (at most 3 KiB of
// members) and the directory of chunks, however long the list is.
const chunkSize = 128

// list is an immutable list sorted by a string key. A change makes a new list that
// shares all chunks but one with the old, so that a snapshot of a hundred thousand
// values costs nothing and they can change a thousand times a second. The zero value
// is empty.
type list[T keyed] struct {
	chunks [][]T // none empty
	n      int
}

// keyed is a value with the key that a list sorts by.
type keyed interface{ sortKey() string }

// listOf makes a list of sorted values. It keeps the slice.
func listOf[T keyed](sorted []T) list[T] {
	l := list[T]{n: len(sorted)}
	for c := range slices.Chunk(sorted, chunkSize/2) {
		l.chunks = append(l.chunks, c)
	}
	return l
}

// locate returns the chunk and the index in it where key is or would be.
func (l list[T]) locate(key string) (c, i int, found bool) {
	// The last chunk that begins at or before key; the first if none does.
	lo, hi := 0, len(l.chunks)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if l.chunks[m][0].sortKey() <= key {
			lo = m + 1
		} else {
			hi = m
		}
	}
	c = max(lo-1, 0)
	if c >= len(l.chunks) {
		return 0, 0, false
	}
	i, found = slices.BinarySearchFunc(l.chunks[c], key, func(v T, key string) int {
		return strings.Compare(v.sortKey(), key)
	})
	return c, i, found
}

// find returns the value with the key.
func (l list[T]) find(key string) (v T, ok bool) {
	c, i, found := l.locate(key)
	if !found {
		return v, false
	}
	return l.chunks[c][i], true
}

// hasPrefix tells whether a key begins with prefix.
func (l list[T]) hasPrefix(prefix string) bool {
	c, i, found := l.locate(prefix)
	if !found && c < len(l.chunks) && i == len(l.chunks[c]) {
		c, i = c+1, 0
	}
	return c < len(l.chunks) && strings.HasPrefix(l.chunks[c][i].sortKey(), prefix)
}

// with returns the list with v in it; v replaces a value with the same key.
func (l list[T]) with(v T) list[T] {
	c, i, found := l.locate(v.sortKey())
	if len(l.chunks) == 0 {
		return list[T]{chunks: [][]T{{v}}, n: 1}
	}
	old := l.chunks[c]
	if found {
		chunk := slices.Clone(old)
		chunk[i] = v
		return list[T]{chunks: replace(l.chunks, c, 1, chunk), n: l.n}
	}
	chunk := make([]T, 0, len(old)+1)
	chunk = append(append(append(chunk, old[:i]...), v), old[i:]...)
	if len(chunk) <= chunkSize {
		return list[T]{chunks: replace(l.chunks, c, 1, chunk), n: l.n + 1}
	}
	half := len(chunk) / 2
	return list[T]{chunks: replace(l.chunks, c, 1, slices.Clone(chunk[:half]), slices.Clone(chunk[half:])), n: l.n + 1}
}

// without returns the list without the value with that key.
func (l list[T]) without(key string) list[T] {
	c, i, found := l.locate(key)
	if !found {
		return l
	}
	old := l.chunks[c]
	if len(old) == 1 {
		return list[T]{chunks: replace(l.chunks, c, 1), n: l.n - 1}
	}
	chunk := make([]T, 0, len(old)-1)
	chunk = append(append(chunk, old[:i]...), old[i+1:]...)
	// Two thin neighbours become one. Otherwise a list that only shrinks would end
	// as a directory of chunks of one value.
	if c+1 < len(l.chunks) && len(chunk)+len(l.chunks[c+1]) <= chunkSize/2 {
		return list[T]{chunks: replace(l.chunks, c, 2, append(chunk, l.chunks[c+1]...)), n: l.n - 1}
	}
	return list[T]{chunks: replace(l.chunks, c, 1, chunk), n: l.n - 1}
}

// replace returns a copy of chunks in which others replace the n that begin at
// index c.
func replace[T any](chunks [][]T, c, n int, by ...[]T) [][]T {
	out := make([][]T, 0, len(chunks)-n+len(by))
	return append(append(append(out, chunks[:c]...), by...), chunks[c+n:]...)
}

// all yields the values in order.
func (l list[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, c := range l.chunks {
			for _, v := range c {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// at returns the value at index i.
func (l list[T]) at(i int) T {
	for _, c := range l.chunks {
		if i < len(c) {
			return c[i]
		}
		i -= len(c)
	}
	panic("zone: list: index out of range")
}

// changed yields what differs from old to new by key: the value in each, or
// the zero value where there is none. Chunks that both lists share cost nothing.
func changed[T interface {
	keyed
	comparable
}](old, now list[T]) iter.Seq2[T, T] {
	return func(yield func(was, is T) bool) {
		var zero T
		a, b := cursor[T]{list: old}, cursor[T]{list: now}
		for {
			for a.i == 0 && b.i == 0 && a.more() && b.more() && &a.chunks[a.c][0] == &b.chunks[b.c][0] && len(a.chunks[a.c]) == len(b.chunks[b.c]) {
				a.c++
				b.c++
			}
			order := 0
			switch {
			case !a.more() && !b.more():
				return
			case !a.more():
				order = 1
			case !b.more():
				order = -1
			default:
				order = strings.Compare(a.value().sortKey(), b.value().sortKey())
			}
			was, is := zero, zero
			if order <= 0 {
				was = a.next()
			}
			if order >= 0 {
				is = b.next()
			}
			if was != is && !yield(was, is) {
				return
			}
		}
	}
}

// cursor walks a list.
type cursor[T keyed] struct {
	list[T]
	c, i int
}

func (p *cursor[T]) more() bool { return p.c < len(p.chunks) }
func (p *cursor[T]) value() T   { return p.chunks[p.c][p.i] }

func (p *cursor[T]) next() T {
	v := p.value()
	if p.i++; p.i == len(p.chunks[p.c]) {
		p.c, p.i = p.c+1, 0
	}
	return v
}
