package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Errors of this package for errors.Is.
var (
	errMalformed = errors.New("peer: not understood")
	// errBusy: the other end has too much to do, and has not begun.
	errBusy = errors.New("peer: too many requests at once")
	// errUnsupported refuses what only a newer version knows. Nothing was done, and another
	// member may be able to do it, so it is ErrNotWriter.
	errUnsupported = registry.ErrOldWriter
)

// malformed says what is wrong with what came over the wire.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// sentinels are the errors that have no more than their identity, each with its word on
// the wire.
var sentinels = []struct {
	word string
	err  error
}{
	{"unsupported", errUnsupported},
	{"notFound", registry.ErrNotFound},
	{"full", registry.ErrFull},
	{"store", registry.ErrStore},
	{"noSpace", registry.ErrNoSpace},
	{"notWriter", registry.ErrNotWriter},
	{"uncertain", registry.ErrUncertain},
	{"overtaken", registry.ErrOvertaken},
	{"closed", registry.ErrClosed},
	{"canceled", context.Canceled},
	{"deadline", context.DeadlineExceeded},
	{"malformed", errMalformed},
	{"busy", errBusy},
}

// failure is an error on the wire. The other end gets an error with the same text that
// is, for errors.Is and errors.As, what the error was here.
type failure struct {
	Text   string      `json:"text"`
	Kinds  []string    `json:"kinds,omitempty"` // the words of sentinels; unknown ones are ignored
	Field  *fieldJSON  `json:"field,omitempty"`
	Fenced *fencedJSON `json:"fenced,omitempty"`
	Limit  *limitJSON  `json:"limit,omitempty"`
}

type fieldJSON struct {
	Field   string `json:"field"`
	Value   string `json:"value"`
	Problem string `json:"problem"`
}

type fencedJSON struct {
	Instance string `json:"instance"`
	Live     uint64 `json:"live"`
	Given    uint64 `json:"given"`
	Gone     bool   `json:"gone,omitempty"`
}

type limitJSON struct {
	What string `json:"what"`
	Max  int    `json:"max"`
}

// maxText bounds the text of an error: it goes to logs and into answers.
const maxText = 1024

// fail returns err as it goes over the wire.
func fail(err error) *failure {
	f := &failure{Text: bounded(err.Error())}
	var (
		field  *registry.FieldError
		fenced *registry.FencedError
		limit  *registry.LimitError
	)
	if errors.As(err, &field) {
		f.Field = &fieldJSON{bounded(field.Field), bounded(field.Value), bounded(field.Problem)}
	}
	if errors.As(err, &fenced) {
		f.Fenced = &fencedJSON{fenced.Key.String(), fenced.Live, fenced.Given, fenced.Gone}
	}
	if errors.As(err, &limit) {
		f.Limit = &limitJSON{bounded(limit.What), limit.Max}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			f.Kinds = append(f.Kinds, s.word)
		}
	}
	return f
}

func bounded(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// parse returns the error that f was made of.
func (f *failure) parse() (error, error) {
	var causes []error
	if f.Field != nil {
		causes = append(causes, &registry.FieldError{Field: bounded(f.Field.Field), Value: bounded(f.Field.Value), Problem: bounded(f.Field.Problem)})
	}
	if f.Fenced != nil {
		key, err := registry.ParseKey(f.Fenced.Instance)
		if err != nil {
			return nil, fmt.Errorf("%w: an error: %w", errMalformed, err)
		}
		causes = append(causes, &registry.FencedError{Key: key, Live: f.Fenced.Live, Given: f.Fenced.Given, Gone: f.Fenced.Gone})
	}
	if f.Limit != nil {
		causes = append(causes, &registry.LimitError{What: bounded(f.Limit.What), Max: f.Limit.Max})
	}
	for _, s := range sentinels {
		// A typed error may be a sentinel already, as a LimitError is ErrFull.
		if slices.Contains(f.Kinds, s.word) && !slices.ContainsFunc(causes, func(c error) bool { return errors.Is(c, s.err) }) {
			causes = append(causes, s.err)
		}
	}
	text := bounded(f.Text)
	if len(causes) == 1 && causes[0].Error() == text {
		return causes[0], nil
	}
	return &remoteError{text, causes}, nil
}

// remoteError is an error of another member.
type remoteError struct {
	text   string
	causes []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.causes }

// Tests: wire_test.go.
