// Package plainjson writes values as encoding/json writes them, and reads what was written
// so, without reflection. Members of a cluster pass each registration on and follow it, so
// encoding/json was about a sixth of what a registration cost them.
//
// Only the plain form is read: the fields in their order, no space between, and texts
// without an escape. A reader that meets anything else says so, and the caller asks
// encoding/json, which decides what is right.
package plainjson

import (
	"encoding/json"
	"strconv"
	"time"
)

// plain says whether encoding/json writes c in a text as it is.
func plain(c byte) bool {
	switch c {
	case '"', '\\', '<', '>', '&':
		return false
	}
	return c >= ' ' && c <= '~'
}

// AppendText appends s as encoding/json writes it.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain(s[i]) {
			text, _ := json.Marshal(s) // each text has a JSON
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// Reader reads the plain form from its beginning on. After the first failure it reads
// nothing more.
type Reader struct {
	rest   []byte
	failed bool
}

// NewReader returns a Reader of b. What it returns shares no memory with b, but for Rest.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// Rest is what was not read.
func (r *Reader) Rest() []byte { return r.rest }

// Fail notes a failure that the caller has found.
func (r *Reader) Fail() { r.failed, r.rest = true, nil }

// Failed says whether anything was not in the plain form.
func (r *Reader) Failed() bool { return r.failed }

// Whole says whether everything was read, and was in the plain form.
func (r *Reader) Whole() bool { return !r.failed && len(r.rest) == 0 }

// Is takes s if that is next, and says whether it was. Not to be there is no failure.
func (r *Reader) Is(s string) bool {
	if len(r.rest) < len(s) || string(r.rest[:len(s)]) != s {
		return false
	}
	r.rest = r.rest[len(s):]
	return true
}

// Must takes s, which must be next.
func (r *Reader) Must(s string) {
	if !r.Is(s) {
		r.Fail()
	}
}

// Text reads a text.
func (r *Reader) Text() string { return string(r.text()) }

// text is the inside of a text, in the memory that is read.
func (r *Reader) text() []byte {
	if !r.Is(`"`) {
		r.Fail()
		return nil
	}
	for i, c := range r.rest {
		if plain(c) {
			continue
		}
		if c != '"' {
			break
		}
		s := r.rest[:i]
		r.rest = r.rest[i+1:]
		return s
	}
	r.Fail()
	return nil
}

// Uint reads a number of at most so many bits, without a sign, fraction or exponent.
func (r *Reader) Uint(bits int) uint64 {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(string(r.rest[:n]), 10, bits)
	if err != nil || n > 1 && r.rest[0] == '0' {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Duration reads a text such as "15s".
func (r *Reader) Duration() time.Duration {
	d, err := time.ParseDuration(string(r.text()))
	if err != nil {
		r.Fail()
	}
	return d
}

// Time reads a text such as "2006-01-02T15:04:05Z".
func (r *Reader) Time() (t time.Time) {
	if err := t.UnmarshalText(r.text()); err != nil {
		r.Fail()
	}
	return t
}

// Tests: plainjson_test.go.
