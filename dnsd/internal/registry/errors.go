package registry

import (
	"errors"
	"fmt"
)

// Errors for errors.Is.
var (
	ErrNotFound  = errors.New("registry: no such instance")
	ErrFull      = errors.New("registry: full")                                              // see LimitError
	ErrStore     = errors.New("registry: cannot store changes")                              // no new instance is registered
	ErrNoSpace   = errors.New("registry: no space left for the store")                       // nothing changed; free some space, then try again
	ErrCompacted = errors.New("registry: the history does not reach this revision any more") // read everything again, then watch from there
	ErrSlow      = errors.New("registry: watcher too slow")                                  // watch again since the last revision seen
	ErrClosed    = errors.New("registry: closed")
	ErrNotWriter = errors.New("registry: another registry is the writer, or none is")         // nothing changed; try again
	ErrOldWriter = fmt.Errorf("registry: the writer runs an older version: %w", ErrNotWriter) // nothing changed; until it is upgraded, it refuses what it does not know
	ErrUncertain = errors.New("registry: the change may have been made, or not")              // try again
	ErrOvertaken = errors.New("registry: the change may have been made, or not, and another followed since")
)

// FieldError says which field of a registration is wrong, and what it must be.
type FieldError struct {
	Field   string // as in JSON: "id", "port", "meta"
	Value   string // as given
	Problem string // what it must be
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("registry: %s %q: %s", e.Field, e.Value, e.Problem)
}

// FencedError refuses an old incarnation: a newer process has or had its key.
type FencedError struct {
	Key
	Live, Given uint64 // the newer incarnation, and the one that was refused
	Gone        bool   // the newer instance is not registered any more, only remembered
}

func (e *FencedError) Error() string {
	if e.Gone {
		return fmt.Sprintf("registry: %s: incarnation %d is older than %d, which was registered last", e.Key, e.Given, e.Live)
	}
	return fmt.Sprintf("registry: %s: incarnation %d was replaced by %d, which is registered", e.Key, e.Given, e.Live)
}

// LimitError says which limit a new instance would have passed. It is ErrFull.
type LimitError struct {
	What string // "instances", "instances of _math._tcp"
	Max  int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("registry: full: at most %d %s", e.Max, e.What)
}

// Unwrap makes it ErrFull.
func (e *LimitError) Unwrap() error { return ErrFull }

// Tests: register_test.go, validate_test.go.
