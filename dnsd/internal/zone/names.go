package zone

import "bytes"

// names remembers where in a message each name stands, and each that it ends
// in, as Pack does: the first place counts, if a pointer reaches it (RFC 1035
// section 4.1.4). Names are whole, on the wire and in lower case.
type names map[string]int

// newNames returns those of a question.
func newNames(qname []byte) names {
	n := make(names)
	n.note(qname, headerSize)
	return n
}

// note enters a name that stands whole at an offset of the message.
func (n names) note(name []byte, off int) {
	for i := 0; name[i] != 0 && off+i < maxPointer; i += 1 + int(name[i]) {
		if _, ok := n[string(name[i:])]; !ok {
			n[string(name[i:])] = off + i
		}
	}
}

// append appends a name to what begins at base of the message, compressed.
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

// shared returns the longest ending of name that is an ending of in, too, but
// for the root: where it begins in each; false if there is none.
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
