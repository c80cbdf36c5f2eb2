package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// Executed says whether the server has executed a failed call.
type Executed uint8

const (
	// ExecutedNever: no server executed it, or will. Repeating it does no harm.
	ExecutedNever Executed = Executed(conn.Never)
	// ExecutedMaybe: the request was sent, and no answer came.
	ExecutedMaybe Executed = Executed(conn.Maybe)
	// ExecutedYes: a server answered.
	ExecutedYes Executed = Executed(conn.Yes)
)

// String is "never", "maybe" or "yes".
func (e Executed) String() string {
	switch e {
	case ExecutedNever:
		return "never"
	case ExecutedMaybe:
		return "maybe"
	case ExecutedYes:
		return "yes"
	}
	return fmt.Sprintf("Executed(%d)", uint8(e))
}

// MarshalText is the word of String.
func (e Executed) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the word back.
func (e *Executed) UnmarshalText(text []byte) error {
	for _, x := range []Executed{ExecutedNever, ExecutedMaybe, ExecutedYes} {
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
	PhasePick   Phase = iota // choosing a node, waiting for one
	PhaseEncode              // encoding the argument
	PhaseWrite               // waiting to be written
	PhaseWait                // waiting for the answer
	PhaseDecode              // decoding the answer
	PhaseAnswer              // the server answered with an error, or refused the call
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

// Attempt is one failed attempt of a call on one node.
type Attempt struct {
	Node     string        // its address; empty if there was no node
	Phase    Phase         // how far it got
	Took     time.Duration // from the choice of the node to the failure
	Executed Executed
	Hedge    bool // the second request, sent while the first was out
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
	if a.Executed == ExecutedMaybe {
		b.WriteString(" maybe executed")
	}
	return b.String()
}

// Error is the error of a call. errors.Is and errors.As look into Err and into
// every attempt: rpc.ServerError, context.DeadlineExceeded, ErrNoNodes and so on.
type Error struct {
	Service  string
	Method   string
	Executed Executed  // of the whole call: the greatest value of any attempt
	Attempts []Attempt // in order, without the one that succeeded
	Err      error     // why the call ended
}

// Error is "rpcclient: call Arith.Divide of _math._tcp.svc: divide by zero" for a
// server's error on the first attempt. Else the attempts follow, without their cause
// where it is that of the call, and without the time that they took, so that equal
// errors have equal texts.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rpcclient: call %s of %s: %v", e.Method, e.Service, e.Err)
	if e.Executed == ExecutedMaybe {
		b.WriteString(" (maybe executed)")
	}
	if len(e.Attempts) == 1 && e.Attempts[0].Phase == PhaseAnswer {
		return b.String()
	}
	for i, a := range e.Attempts {
		said := errors.Is(e.Err, a.Err) || a.Err.Error() == e.Err.Error()
		if said && a.Phase == PhasePick && a.Node == "" {
			continue // nothing was tried, and Err says why
		}
		fmt.Fprintf(&b, "; attempt %d: %s", i+1, a.outline(""))
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
	// ErrNoNodes is in the error of a call that found no usable node. The error also
	// says what DNS answered, and why nodes that are announced are not usable.
	ErrNoNodes = errors.New("no usable node")
	// ErrOverBudget is in the error of a call that was not tried again because too
	// many other calls were.
	ErrOverBudget = errors.New("retry budget exhausted")
	// ErrClosed is in the error of a call on a Client that is closed or closing.
	ErrClosed = errors.New("client closed")
)

// RefusedError is in the error of a call that a server has refused: it has not executed the
// call, and will not. The call was tried on other nodes, if there were any and the budget
// allowed it.
type RefusedError struct {
	Text string        // why, in the words of the server; may be empty
	Wait time.Duration // how long the node gets no calls while others do; 0: the server did not say
}

// Error is "refused by the server: " and Text.
func (e *RefusedError) Error() string {
	if e.Text == "" {
		return "refused by the server"
	}
	return "refused by the server: " + e.Text
}

// is tells whether an error of type E is in err.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// noNodesError says why there is no usable node: what the Source said, and what became of
// each endpoint.
type noNodesError struct {
	source    error    // why there are no endpoints, or why they are stale
	endpoints int      // announced
	nodes     []string // "10.0.0.7:8080: connection refused", some of them
	errs      []error
}

func (e *noNodesError) Error() string {
	var b strings.Builder
	b.WriteString(ErrNoNodes.Error())
	switch {
	case e.endpoints == 0 && e.source != nil:
		fmt.Fprintf(&b, ": %v", e.source)
	case e.endpoints == 0:
		b.WriteString(": no endpoint is announced")
	default:
		fmt.Fprintf(&b, " of %d announced", e.endpoints)
		for _, n := range e.nodes {
			b.WriteString("; " + n)
		}
		if e.source != nil {
			fmt.Fprintf(&b, "; and the list is stale: %v", e.source)
		}
	}
	return b.String()
}

func (e *noNodesError) Unwrap() []error {
	errs := append([]error{ErrNoNodes}, e.errs...)
	if e.source != nil {
		errs = append(errs, e.source)
	}
	return errs
}

var (
	errUnresolved = errors.New("the name is not resolved yet")
	errConnecting = errors.New("the first dial and its ping have not ended yet")
)

// noNodes says why there is no usable node now.
func (c *Client) noNodes() error {
	const most = 3 // enough to see a pattern; the debug page lists all nodes
	e := &noNodesError{}
	state := c.state.Load()
	if state == nil {
		e.source = errUnresolved
		return e
	}
	e.source, e.endpoints = state.Err, len(state.Endpoints)
	c.mu.Lock()
	nodes := make([]*node, 0, len(c.nodes))
	for n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	slices.SortFunc(nodes, func(a, b *node) int { return strings.Compare(a.addr(), b.addr()) })
	for _, n := range nodes {
		n.mu.Lock()
		err, untried := n.lastErr, n.untried
		n.mu.Unlock()
		if err == nil && untried {
			err = errConnecting
		}
		if err == nil {
			continue
		}
		if len(e.nodes) == most {
			e.nodes = append(e.nodes, "...")
			break
		}
		e.nodes = append(e.nodes, n.addr()+": "+err.Error())
		e.errs = append(e.errs, err)
	}
	return e
}

// The limits of a call's time, as error texts name them.
const (
	byContext conn.Limit = ""
	byTimeout conn.Limit = "Config.Timeout"
	byAttempt conn.Limit = "Config.Retry.AttemptTimeout"
	byWaiting conn.Limit = "Config.WaitForNode"

	byMethodTimeout conn.Limit = "Method.Timeout"
	byMethodAttempt conn.Limit = "Method.AttemptTimeout"
)

// waitError ends a call that waited for a node; err says why there was none.
type waitError struct {
	limit conn.Limit
	err   error
}

func (e *waitError) Error() string {
	if e.limit == byContext {
		return context.DeadlineExceeded.Error() + ": " + e.err.Error()
	}
	return "nothing within " + string(e.limit) + ": " + e.err.Error()
}
func (e *waitError) Unwrap() error { return e.err }
func (e *waitError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.limit != byWaiting
}
