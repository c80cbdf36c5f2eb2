package registry

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Life names one life of a registry, from Open to its end; of a store that several share,
// from the first of them on. It is a random number, never 0. A revision of another life means nothing in this one.
type Life uint64

// newLife returns a random life.
func newLife() Life {
	var b [8]byte
	for {
		rand.Read(b[:])
		if l := Life(binary.BigEndian.Uint64(b[:])); l != 0 {
			return l
		}
	}
}

// String is 16 hexadecimal digits.
func (l Life) String() string { return fmt.Sprintf("%016x", uint64(l)) }

// Position is a revision of one life. A client remembers it to resume a watch.
type Position struct {
	Life     Life
	Revision uint64
}

// String is "9f86d081884c7d65-27712345678": the life, a hyphen, the revision.
func (p Position) String() string {
	return string(p.Append(make([]byte, 0, 16+1+20)))
}

// Append appends what String returns.
func (p Position) Append(b []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[p.Life>>shift&15])
	}
	return strconv.AppendUint(append(b, '-'), p.Revision, 10)
}

// ParsePosition reads the form that Position.String returns. A revision alone,
// "27712345678", is a position of no life: Watch returns ErrCompacted for it. Anything
// else is a *FieldError.
func ParsePosition(s string) (Position, error) {
	life, revision, ok := strings.Cut(s, "-")
	if !ok {
		life, revision = "0000000000000000", s
	}
	l, err1 := strconv.ParseUint(life, 16, 64)
	r, err2 := strconv.ParseUint(revision, 10, 64)
	if err1 != nil || err2 != nil || len(life) != 16 {
		return Position{}, &FieldError{"since", s, "must be the id of an event, like 9f86d081884c7d65-27712345678"}
	}
	return Position{Life(l), r}, nil
}

// Life returns the life of this registry.
func (r *Registry) Life() Life {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.life
}

// At returns the position of a revision in this life.
func (r *Registry) At(revision uint64) Position { return Position{r.Life(), revision} }
