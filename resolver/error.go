package resolver

import (
	"errors"
	"strconv"
	"strings"
)

var (
	// ErrNoSuchName is in the error of a name that has no SRV records, as a server
	// answered: NXDOMAIN, or NOERROR without records (NODATA).
	ErrNoSuchName = errors.New("no such name")
	// ErrNotOffered is in the error of a service whose only record has the target
	// ".": it is decidedly not available at this domain (RFC 2782).
	ErrNotOffered = errors.New(`service not offered (target ".")`)
)

// Error says what was asked of which server, and what the answer was.
type Error struct {
	Name   string // what was asked for, absolute: "_math._tcp.svc."
	Type   string // the record type asked for: "SRV", "A", "AAAA"
	Server string // the server asked, "127.0.0.1:5300"; empty: none, or several, which Err lists
	Rcode  string // the response code, "NXDOMAIN"; empty: no answer came
	Err    error
}

// Error is "resolver: lookup _math._tcp.svc. SRV @127.0.0.1:5300: no such name (NXDOMAIN)".
func (e *Error) Error() string {
	text := "resolver: lookup " + e.Name + " " + e.Type
	if e.Server != "" {
		text += " @" + e.Server
	}
	return text + ": " + e.cause()
}

// cause is the text of the error without the question.
func (e *Error) cause() string {
	if e.Rcode == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + " (" + e.Rcode + ")"
}

func (e *Error) Unwrap() error { return e.Err }

// tries is the error of asking several servers: the last error of each.
type tries []*Error

func (t tries) Error() string {
	parts := make([]string, len(t))
	for i, e := range t {
		parts[i] = e.cause()
		if e.Server != "" {
			parts[i] = "@" + e.Server + ": " + parts[i]
		}
	}
	return strings.Join(parts, "; ")
}

func (t tries) Unwrap() []error {
	errs := make([]error, len(t))
	for i, e := range t {
		errs[i] = e
	}
	return errs
}

// quoted is how an error shows a name that is not valid.
func quoted(name string) string { return strconv.Quote(name) }

// Tests: ask_test.go, exchange_test.go.
