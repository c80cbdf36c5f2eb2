package rpcclient

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// Executed says whether the server has executed a failed call.
type Executed uint8

const (
	// Never: no server executed it, or will. It may be repeated without harm.
	Never = Executed(conn.Never)
	// Maybe: it was sent, and no answer came.
	Maybe = Executed(conn.Maybe)
	// Yes: a server answered.
	Yes = Executed(conn.Yes)
)

// String is "never", "maybe" or "yes".
func (e Executed) String() string {
	switch e {
	case Never:
		return "never"
	case Maybe:
		return "maybe"
	case Yes:
		return "yes"
	}
	return fmt.Sprintf("Executed(%d)", uint8(e))
}

// MarshalText is the word of String.
func (e Executed) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the word back.
func (e *Executed) UnmarshalText(text []byte) error {
	for _, x := range []Executed{Never, Maybe, Yes} {
		if x.String() == string(text) {
			*e = x
			return nil
		}
	}
	return fmt.Errorf("rpcclient: executed %q: want never, maybe or yes", text)
}

// Phase is how far an attempt got.
type Phase uint8

const (
	Pick   Phase = iota // choosing a node, waiting for one
	Encode              // making bytes of the argument
	Write               // waiting to be written
	Wait                // waiting for the answer
	Decode              // making a value of the answer
	Answer              // the server answered with an error
)

var phases = [...]string{"pick", "encode", "write", "wait", "decode", "answer"}

// String is "pick", "encode", "write", "wait", "decode" or "answer".
func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// MarshalText is the word of String.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word back.
func (p *Phase) UnmarshalText(text []byte) error {
	for i, word := range phases {
		if word == string(text) {
			*p = Phase(i)
			return nil
		}
	}
	return fmt.Errorf("rpcclient: phase %q: want one of %s", text, strings.Join(phases[:], ", "))
}

// Attempt is one failed try of a call on one node.
type Attempt struct {
	Node     string        // address; empty if there was no node to try
	Phase    Phase         // how far it got
	Took     time.Duration // from the choice of the node to the failure
	Executed Executed
	Hedge    bool // a second try sent while the first was out
	Err      error
}

// String is "10.0.0.7:8080 wait 1.2s maybe executed: connection closed by the server".
func (a Attempt) String() string {
	return fmt.Sprintf("%s: %v", a.outline(" "+a.Took.Round(10*time.Microsecond).String()), a.Err)
}

// outline is what String says before the cause.
func (a Attempt) outline(took string) string {
	var b strings.Builder
	if a.Node != "" {
		b.WriteString(a.Node + " ")
	}
	if a.Hedge {
		b.WriteString("hedge ")
	}
	b.WriteString(a.Phase.String() + took)
	if a.Executed == Maybe {
		b.WriteString(" maybe executed")
	}
	return b.String()
}

// Error is every error of a call. errors.Is and errors.As look into Err and into
// every attempt: rpc.ServerError, context.DeadlineExceeded, ErrNoNodes and so on.
type Error struct {
	Service  string
	Method   string
	Executed Executed  // of the whole call: the most that is true of any attempt
	Attempts []Attempt // in order, without the one that succeeded
	Err      error     // why the call ended
}

// Error is "rpcclient: call Arith.Divide of _math._tcp.svc: divide by zero" for a
// server's error on the first try; else the attempts follow, without their cause
// where it is that of the call, and without the time they took: like errors read alike.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rpcclient: call %s of %s: %v", e.Method, e.Service, e.Err)
	if e.Executed == Maybe {
		b.WriteString(" (maybe executed)")
	}
	if len(e.Attempts) == 1 && e.Attempts[0].Phase == Answer {
		return b.String()
	}
	for i, a := range e.Attempts {
		said := errors.Is(e.Err, a.Err)
		if said && a.Phase == Pick && a.Node == "" {
			continue // nothing was tried, and Err says why
		}
		fmt.Fprintf(&b, "; try %d: %s", i+1, a.outline(""))
		if !said {
			fmt.Fprintf(&b, ": %v", a.Err)
		}
	}
	return b.String()
}

// Unwrap gives Err and the error of every attempt.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 1+len(e.Attempts))
	errs = append(errs, e.Err)
	for _, a := range e.Attempts {
		errs = append(errs, a.Err)
	}
	return errs
}

var (
	// ErrNoNodes is in the error of a call that found no usable node: what was
	// asked of whom, and what came back, stands beside it.
	ErrNoNodes = errors.New("no usable node")
	// ErrOverBudget is in the error of a call that was not tried again because too
	// many others were.
	ErrOverBudget = errors.New("retry budget exhausted")
	// ErrClosed is in the error of a call on a Client that is closed or closing.
	ErrClosed = errors.New("client closed")
)

// is tells whether an error of type E is in err.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
