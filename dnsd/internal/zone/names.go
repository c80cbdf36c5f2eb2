package zone

import "bytes"

// names holds the offset of each name in a message, and of each ending of it, as
// Pack does: the first offset counts, if a pointer can reach it (RFC 1035 section
// 4.1.4). Names are in wire form, whole and in lower case.
type names map[string]int

// newNames returns the names of a question.
func newNames(qname []byte) names {
	n := make(names)
	n.note(qname, headerSize)
	return n
}

// note enters a name that is whole at an offset of the message.
func (n names) note(name []byte, off int) {
	for i := 0; name[i] != 0 && off+i < maxPointer; i += 1 + int(name[i]) {
		if _, ok := n[string(name[i:])]; !ok {
			n[string(name[i:])] = off + i
		}
	}
}

// append appends a name, compressed. b begins at offset base of the message.
func (n names) append(b []byte, base int, name []byte) []byte {
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		if to, ok := n[string(name[i:])]; ok {
			return appendPointer(b, to)
		}
		if off := base + len(b); off < maxPointer {
			n[string(name[i:])] = off
		}
		b = append(b, name[i:i+1+int(name[i])]...)
	}
	return append(b, 0)
}

// shared returns where the longest ending that name and in share begins in each.
// false means that they share only the root.
func shared(name, in []byte) (at, inAt int, ok bool) {
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		for j := 0; in[j] != 0; j += 1 + int(in[j]) {
			if bytes.Equal(name[i:], in[j:]) {
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

// Tests: answer_test.go.
