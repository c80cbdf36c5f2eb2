package dnsd

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hidden is an error without the values of environment variables. Variables hold the
// secrets, and the message about a word in the wrong place repeats that word.
type hidden struct {
	text string
	err  error
}

// Error implements error.
func (h *hidden) Error() string { return h.text }

// Unwrap implements the chain of errors.Is.
func (h *hidden) Unwrap() error { return h.err }

// minHidden is the least length of a value that is hidden. Shorter values are words such
// as a zone's name, and occur in messages that are not about them.
const minHidden = 6

// hide replaces the values of variables in err, and parts of these values, by the names
// of the variables.
func hide(err error, values map[string]string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		quoted := strconv.Quote(v) // as %q has it
		parts := strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune("./:% ", r) })
		for _, as := range append([]string{v, quoted[1 : len(quoted)-1]}, parts...) {
			if len(as) >= minHidden {
				// The message may have the value in lower case, as a name.
				text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(as)).ReplaceAllLiteralString(text, "{$"+name+"}")
			}
		}
	}
	if text == err.Error() {
		return err
	}
	return &hidden{text, err}
}
