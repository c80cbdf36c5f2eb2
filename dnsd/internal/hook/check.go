package hook

import (
	"errors"
	"strings"
)

// Check says what Listen would refuse of a token, whatever else it is told.
func (t Token) Check() error {
	t.Name = "token"
	if _, err := newGrants([]Token{t}); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "hook: token: "))
	}
	return nil
}

// Check says what Listen would refuse of the files; nil is no TLS.
func (t *TLS) Check() error {
	_, err := t.load()
	return err
}

// WithDefaults returns l with the default in each field that is zero.
func (l Limits) WithDefaults() Limits { return l.withDefaults() }
