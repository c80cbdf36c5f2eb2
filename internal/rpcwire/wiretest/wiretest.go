// Package wiretest makes gob streams that no encoder writes, for tests of both ends.
package wiretest

import (
	"bytes"
	"encoding/gob"
	"strings"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// Types of values that can be nested.
type (
	Flat  struct{ V int }
	Chain struct {
		V    int
		Next *Chain
	}
	Nest []Nest
	Wood map[string]Wood
	// Newer is a Flat with one more field.
	Newer struct {
		V    int
		More Chain
	}
)

// Stream is the bytes of one direction of a connection, made by encoding/gob and by hand.
type Stream struct {
	bytes.Buffer
	enc *gob.Encoder
}

// NewStream is an empty stream.
func NewStream() *Stream {
	s := new(Stream)
	s.enc = gob.NewEncoder(&s.Buffer)
	return s
}

// Value appends v as encoding/gob writes it. It panics if that fails.
func (s *Stream) Value(v any) {
	if err := s.enc.Encode(v); err != nil {
		panic(err)
	}
}

// Body appends the definitions of v, and then a value of its type with these bytes
// instead of those of v.
func (s *Stream) Body(v any, body []byte) {
	mark := s.Len()
	s.Value(v)
	last := gobvalue.LastMessage(s.Bytes()[mark:])
	id := bytes.Clone(TypeID(last))
	s.Truncate(s.Len() - len(last))
	s.Message(append(id, body...))
}

// Message appends a message, with its length.
func (s *Stream) Message(message []byte) {
	s.Write(gobvalue.AppendUint(nil, uint64(len(message))))
	s.Write(message)
}

// TypeID is the type id with which a message begins after its length.
func TypeID(message []byte) []byte {
	_, n := gobvalue.ReadUint(message)
	_, k := gobvalue.ReadUint(message[n:])
	return message[n : n+k]
}

// Deep is a body that goes down and up so often.
func Deep(depth int, before, down, up, after string) []byte {
	return []byte(before + strings.Repeat(down, depth) + strings.Repeat(up, depth) + after)
}

// Definitions are definitions of one type after the other, of at least size bytes.
func Definitions(size int) []byte {
	s := NewStream()
	for id := int64(100); s.Len() < size; id++ {
		m := gobvalue.AppendUint(nil, gobvalue.ToUint(-id))
		m = append(m, 2, 1, 2) // a slice, which has an id
		m = append(gobvalue.AppendUint(m, gobvalue.ToUint(id)), 0, 1)
		m = append(gobvalue.AppendUint(m, gobvalue.ToUint(id-1)), 0, 0)
		s.Message(m)
	}
	return s.Bytes()
}
