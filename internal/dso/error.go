package dso

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Error says what is wrong with a message from the other end.
type Error struct {
	// Rcode is the answer to the request that is wrong. It is fatal if no answer can
	// be given, or none may be: then the connection is to be aborted (RFC 8490 section 5.3.1).
	Rcode int
	// Octet is where in the message the fault is, counted from its header.
	Octet  int
	Reason string
}

// fatal in place of an RCODE. No RCODE is negative.
const fatal = -1

func (e *Error) Error() string {
	verdict := "fatal"
	if e.Rcode != fatal {
		verdict = dns.RcodeToString[e.Rcode]
	}
	return fmt.Sprintf("dso: read message: octet %d: %s (%s)", e.Octet, e.Reason, verdict)
}

// Fatal tells whether an error of this package means that the connection must be aborted.
func Fatal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Rcode == fatal
}

// Rcode returns what a request is answered with, if reading it had this error. It is
// NOERROR without an error, and SERVFAIL for an error of another package.
func Rcode(err error) int {
	var e *Error
	switch {
	case err == nil:
		return dns.RcodeSuccess
	case errors.As(err, &e) && e.Rcode != fatal:
		return e.Rcode
	}
	return dns.RcodeServerFailure
}

// Tests: message_test.go.
