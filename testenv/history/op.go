package history

import (
	"fmt"
	"time"
)

// Kind is what an operation asks for.
type Kind int

// The kinds. The first five are asked of the writer, by way of the dnsd that the client
// asks. The others are answered by that dnsd from its memory.
const (
	Register Kind = iota // PUT, with a new value
	Renew
	Deregister
	Drain
	Undrain
	Read  // one instance, from the hook
	List  // the service, from the hook
	Query // one instance, from DNS
)

// String is the name of the kind in lower case.
func (k Kind) String() string {
	return [...]string{"register", "renew", "deregister", "drain", "undrain", "read", "list", "query"}[k]
}

// writes says whether operations of this kind are decided by the writer.
func (k Kind) writes() bool { return k <= Undrain }

// Outcome is what a client knows after an operation.
type Outcome int

// The outcomes.
const (
	Done    Outcome = iota // answered; that there is no such instance is an answer, too
	Refused                // it was not done, and will not be
	Unknown                // it may have been done, or may still be
)

// String is the name of the outcome in lower case.
func (o Outcome) String() string { return [...]string{"done", "refused", "unknown"}[o] }

// Instance is what the checker looks at of an instance.
type Instance struct {
	// Value names the registration that wrote it. No two have the same.
	Value    string
	Drained  bool
	Revision uint64 // of its last change
	// Rest is everything else that all dnsd must say alike: host, port, weight and so on.
	Rest string
}

// Op is one request of a client, and its answer. Times are since the beginning of the
// recording, by a clock that does not go back.
type Op struct {
	Kind    Kind
	Client  int
	At      int    // which dnsd was asked, an index of Config.Hooks
	ID      string // of the instance; empty for a List
	Value   string // of a Register: what was asked for
	Life    int    // which life of the registry it belongs to, counted from 0, see Recorder.Restore
	Call    time.Duration
	Return  time.Duration
	Outcome Outcome
	Cause   string // why it is not Done

	// The answer, if it is Done.
	Found    bool     // the instance, or the service, was there
	Seen     Instance // the instance as answered; DNS knows its Value only
	Revision uint64   // of a List: of the service
	Listed   []Listed // of a List
}

// Listed is an instance in the answer to a List.
type Listed struct {
	ID string
	Instance
}

// String is the operation on one line, for messages.
func (o *Op) String() string {
	s := fmt.Sprintf("client %d at dnsd %d: %v", o.Client, o.At, o.Kind)
	if o.ID != "" {
		s += " " + o.ID
	}
	if o.Value != "" {
		s += "=" + o.Value
	}
	s += fmt.Sprintf(" (%v to %v): %v", o.Call.Round(time.Microsecond), o.Return.Round(time.Microsecond), o.Outcome)
	switch {
	case o.Outcome != Done:
		return s + ": " + o.Cause
	case !o.Found:
		return s + ", not there"
	case o.Kind == List:
		return s + fmt.Sprintf(", %d instances at %d", len(o.Listed), o.Revision)
	case o.Seen.Value != "":
		s += ", " + o.Seen.String()
	}
	return s
}

// String is the instance in a message: "1-7 drained at 123".
func (i Instance) String() string {
	s := i.Value
	if i.Drained {
		s += " drained"
	}
	if i.Revision != 0 {
		s += fmt.Sprintf(" at %d", i.Revision)
	}
	return s
}

// Tests: check_test.go, recorder_test.go.
