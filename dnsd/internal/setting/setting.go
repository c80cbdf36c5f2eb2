// Package setting is how a room says which setting of its Config it refuses. Each
// room checks its own Config with a pure method Check; dnsd turns the field into
// the directive, and the directive into the line of the Corefile.
package setting

import "fmt"

// Error says what is wrong with one setting.
type Error struct {
	// Field is the name in the room's Config: "MinLease", "Guard.Percent".
	Field string
	// Item tells which one, if the field is a list or a map: its index or its key.
	Item string
	// Err says what is wrong, and what is expected. It holds no secret.
	Err error
}

// Errorf returns an Error of a field.
func Errorf(field, format string, args ...any) *Error {
	return &Error{Field: field, Err: fmt.Errorf(format, args...)}
}

// Of returns an Error of one item of a field.
func Of(field string, item any, err error) *Error {
	return &Error{Field: field, Item: fmt.Sprint(item), Err: err}
}

// Error implements error.
func (e *Error) Error() string {
	if e.Item != "" {
		return fmt.Sprintf("%s[%s]: %v", e.Field, e.Item, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Field, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
