package callmeta

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

const (
	// MaxKeys is how many keys a call may have. W3C's trace context and baggage take three,
	// and a program's own a handful. A search goes through all of them.
	MaxKeys = 32
	// MaxBytes bounds keys and values together. It is what servers of HTTP commonly allow
	// for all headers, and with it the header of a request still fits the buffer that each
	// connection has for reading.
	MaxBytes = 8 << 10
	// MaxKey is how many bytes a key may have.
	MaxKey = 64
)

// The reasons for which metadata is refused, beside those that name a key.
var (
	errCut   = errors.New("metadata that is cut off")
	errPairs = errors.New("metadata with a key without a value")
	errKeys  = fmt.Errorf("more than %d keys of metadata: put less into the context of the call", MaxKeys)
	errBytes = fmt.Errorf("more than %d bytes of metadata: put less into the context of the call", MaxBytes)
)

// Meta is the metadata of a call. It cannot be changed. The zero value is empty.
type Meta struct {
	raw string // as in the package comment; empty if there are no pairs
}

// Check tells what is wrong with a pair that a caller wants to send.
func Check(key, value string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if key[0] == '_' {
		return fmt.Errorf("metadata key %q: keys that begin with \"_\" are reserved", key)
	}
	if len(key)+len(value) > MaxBytes {
		return fmt.Errorf("metadata key %q: %w", key, errBytes)
	}
	return nil
}

func checkKey[T string | []byte](key T) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("metadata key %.100q has %d bytes: a key has 1 to %d", key, len(key), MaxKey)
	}
	for i := range len(key) {
		if c := key[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("metadata key %q: a key has a-z, 0-9, \".\", \"_\" and \"-\" only", key)
		}
	}
	return nil
}

// With is m with one more pair, or with another value of a key that it has.
func (m Meta) With(key, value string) (Meta, error) {
	if err := Check(key, value); err != nil {
		return m, err
	}
	pairs := make([]string, 0, 2*m.Len()+2)
	done := false
	for k, v := range m.All() {
		if !done && k >= key {
			pairs, done = append(pairs, key, value), true
		}
		if k != key {
			pairs = append(pairs, k, v)
		}
	}
	if !done {
		pairs = append(pairs, key, value)
	}
	more, err := Of(pairs)
	if err != nil {
		return m, fmt.Errorf("metadata key %q: %w", key, err)
	}
	return more, nil
}

// Of is the Meta of key, value, key, value, in ascending order of the keys.
func Of(pairs []string) (Meta, error) {
	if len(pairs) == 0 {
		return Meta{}, nil
	}
	if len(pairs) > 2*MaxKeys { // before anything is copied
		return Meta{}, errKeys
	}
	size := 0
	for _, s := range pairs {
		size += len(s)
	}
	if size > MaxBytes {
		return Meta{}, errBytes
	}
	b := gobvalue.AppendUint(make([]byte, 0, size+3*len(pairs)+1), uint64(len(pairs)))
	for _, s := range pairs {
		b = gobvalue.AppendString(b, s)
	}
	if _, err := Scan(b); err != nil {
		return Meta{}, err
	}
	return Meta{string(b)}, nil
}

// Len is how many pairs there are.
func (m Meta) Len() int {
	n, _ := uintOf(m.raw)
	return int(n / 2)
}

// Get is the value of a key.
func (m Meta) Get(key string) (value string, ok bool) {
	for k, v := range m.All() {
		if k == key {
			return v, true
		}
	}
	return "", false
}

// All gives the pairs, in ascending order of the keys.
func (m Meta) All() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		_, at := uintOf(m.raw)
		for rest := m.raw[at:]; rest != ""; {
			var key, value string
			key, rest = next(rest)
			value, rest = next(rest)
			if !yield(key, value) {
				return
			}
		}
	}
}

// next takes a string from the front of what is known to be well-formed.
func next(raw string) (s, rest string) {
	n, at := uintOf(raw)
	end := at + int(n)
	return raw[at:end], raw[end:]
}

// uintOf is gobvalue.ReadUint for a string.
func uintOf(s string) (x uint64, size int) {
	if s != "" && s[0] < 128 {
		return uint64(s[0]), 1
	}
	var a [9]byte
	return gobvalue.ReadUint(a[:copy(a[:], s)])
}

// Append appends m as it travels: the elements of a []string with their number before
// them. It appends nothing if m is empty.
func (m Meta) Append(b []byte) []byte { return append(b, m.raw...) }

// Keep copies what Scan has found good.
func Keep(good []byte) Meta { return Meta{string(good)} }

// String has the keys only: values may be secret.
func (m Meta) String() string {
	var keys []string
	for k := range m.All() {
		keys = append(keys, k)
	}
	return strings.Join(keys, " ")
}

// Tests: meta_test.go.
