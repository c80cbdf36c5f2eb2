package conn

import (
	"errors"
	"fmt"
	"time"
)

// Executed says whether the server has executed a request that has ended.
type Executed uint8

const (
	// Never: the server has not executed it, and will not.
	Never Executed = iota
	// Maybe: it was sent, and no answer came.
	Maybe
	// Yes: the server answered.
	Yes
)

func (e Executed) String() string { return [...]string{"never", "maybe", "yes"}[e] }

var (
	// ErrRetired ends a connection that had to be replaced.
	ErrRetired = errors.New("connection takes no more calls")
	// ErrDraining retires the connections of a server that shuts down.
	ErrDraining = errors.New("server is draining")
	// ErrToldToRetire retires a connection of which the server says that it will end,
	// while the server goes on.
	ErrToldToRetire = errors.New("server gave the connection up")
	// ErrSilent ends a connection whose ping was not answered.
	ErrSilent = errors.New("connection silent: ping not answered")
	// ErrBusy is SendNow's error for a request that would have to wait.
	ErrBusy = errors.New("others are being encoded or written")

	errNotWritten = errors.New("connection lost before the request was written")
	errPeerClosed = errors.New("connection closed by the server")
	errEnded      = errors.New("connection has ended")
	errReaderGone = errors.New("a method of a reply has ended the goroutine that decodes it (runtime.Goexit)")
	errUnencoded  = fmt.Errorf("%w: an argument could not be encoded", ErrRetired)
	errReply      = fmt.Errorf("%w: a reply could not be decoded", ErrRetired)
)

// RefusedError is the answer of a server that has not executed the request, and will not.
type RefusedError struct {
	Text string        // of the server; may be empty
	Wait time.Duration // how long it wants to be left alone; 0: it does not say
}

func (e *RefusedError) Error() string { return "refused by the server: " + e.Text }

// EncodeError is the error of an argument that cannot be encoded. It is the same on
// every connection.
type EncodeError struct{ err error }

func (e *EncodeError) Error() string { return "encoding the argument: " + e.err.Error() }
func (e *EncodeError) Unwrap() error { return e.err }

// DecodeError is the error of a reply that does not fit.
type DecodeError struct{ err error }

func (e *DecodeError) Error() string { return "decoding the reply: " + e.err.Error() }
func (e *DecodeError) Unwrap() error { return e.err }

// Tests: codec_test.go, torture_test.go.
