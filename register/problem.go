package register

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ProblemType is the content type of a [Problem].
const ProblemType = "application/problem+json"

// Problem is a refusal of the hook (RFC 9457). It is an error.
type Problem struct {
	Type   string `json:"type,omitempty"` // a URI; empty means about:blank
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what is wrong and what to do about it.
	Detail string `json:"detail,omitempty"`
	// Field is the part of the request that is wrong, as written there: "port".
	Field string `json:"field,omitempty"`
	// Incarnation is the registered, newer incarnation, with a 409.
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Instance is the path of the request (RFC 9457 section 3.1.5).
	Instance string `json:"instance,omitempty"`
}

// Error is one line: the status, the field if the detail does not name it, the detail.
func (p *Problem) Error() string {
	var b strings.Builder
	title := p.Title
	if title == "" {
		title = http.StatusText(p.Status)
	}
	fmt.Fprintf(&b, "%d %s", p.Status, title)
	if p.Field != "" && !strings.Contains(p.Detail, p.Field) {
		b.WriteString(": " + p.Field)
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	return b.String()
}

// asType is errors.AsType of Go 1.26: the first error of type E in err.
func asType[E error](err error) (E, bool) {
	var e E
	ok := errors.As(err, &e)
	return e, ok
}

// Tests: client_test.go.
