package registry

import (
	"errors"
	"fmt"
)

// What can be told by errors.Is.
var (
	ErrNotFound  = errors.New("registry: no such instance")
	ErrFull      = errors.New("registry: full")                                              // see LimitError
	ErrStore     = errors.New("registry: cannot store changes")                              // nobody new is taken in
	ErrNoSpace   = errors.New("registry: no space left for the store")                       // nothing changed; free some, then try again
	ErrCompacted = errors.New("registry: the history does not reach this revision any more") // read again, then watch from there
	ErrSlow      = errors.New("registry: watcher too slow")                                  // cut off; watch again since the last revision seen
	ErrClosed    = errors.New("registry: closed")
)

// FieldError says which field of a registration is wrong and how to mend it.
type FieldError struct {
	Field   string // as in JSON: "id", "port", "meta"
	Value   string // what was given
	Problem string // what it must be
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("registry: %s %q: %s", e.Field, e.Value, e.Problem)
}

// FencedError refuses an old incarnation: a newer process has or had its key.
type FencedError struct {
	Key
	Live, Given uint64 // the newer one, and the one refused
	Gone        bool   // the newer one is not registered any more, only remembered
}

func (e *FencedError) Error() string {
	if e.Gone {
		return fmt.Sprintf("registry: %s: incarnation %d: nobody is registered, but %d was here last", e.Key, e.Given, e.Live)
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
