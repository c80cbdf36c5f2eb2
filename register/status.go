package register

import "time"

// State is how a lease stands.
type State uint8

// The states of a lease.
const (
	Registering State = iota // not registered yet
	Held                     // registered, held by an open request
	Renewed                  // registered, kept by renewals
	Retrying                 // registered once, the hook does not confirm it now
	Replaced                 // a newer incarnation has the place; final
	Closed                   // by Close; final
)

// String is the word for logs and metrics.
func (s State) String() string {
	switch s {
	case Registering:
		return "registering"
	case Held:
		return "held"
	case Renewed:
		return "renewed"
	case Retrying:
		return "retrying"
	case Replaced:
		return "replaced"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// Status is how a lease stands at a moment.
type Status struct {
	State       State
	Service, ID string
	Hook        string    // base URL in use
	Published   Published // the last answer of the hook; zero before the first
	Confirmed   time.Time // when the hook last renewed it
	Since       time.Time // when State was entered
	Err         error     // the last failure; nil once the hook has confirmed again

	Registrations uint64 // PUTs answered with success
	Beats         uint64 // renewals heard on holds
	Failures      uint64 // requests that failed, holds that broke included
}
